import Glibc

/// The process under test: makes one call after the other, as its arguments say, and prints what each returned.
///
/// Most calls are about one file of the directory; `write:5` writes five bytes behind those before.
let directory = CommandLine.arguments[1]
let file = open(directory + "/file", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)

func call(_ name: Substring, _ number: Int) -> Int {
    switch name {
    case "write":
        let bytes = [UInt8](repeating: UInt8(ascii: "x"), count: number)
        return write(file, bytes, bytes.count)
    case "append":
        let descriptor = open(directory + "/file", O_WRONLY | O_APPEND | O_CLOEXEC)
        defer { close(descriptor) }
        return write(descriptor, "appended", 8)
    case "writev":
        var bytes = [UInt8](repeating: UInt8(ascii: "y"), count: number)
        return bytes.withUnsafeMutableBytes { bytes in
            let parts = [
                iovec(iov_base: bytes.baseAddress, iov_len: 1),
                iovec(iov_base: bytes.baseAddress?.advanced(by: 1), iov_len: number - 1),
            ]
            return writev(file, parts, 2)
        }
    case "pwrite": return pwrite(file, "p", 1, off_t(number))
    case "sync": return Int(fsync(file))
    case "datasync": return Int(fdatasync(file))
    case "sync-directory":
        let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        defer { close(descriptor) }
        return Int(fsync(descriptor))
    case "reserve":
        let code = posix_fallocate(file, 0, off_t(number))
        errno = code
        return code == 0 ? 0 : -1
    case "resize": return Int(ftruncate(file, off_t(number)))
    case "create":
        let descriptor = open(directory + "/created", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        if descriptor >= 0 { close(descriptor) }
        return descriptor < 0 ? -1 : 0
    case "rename": return Int(rename(directory + "/file", directory + "/renamed"))
    case "link": return Int(link(directory + "/file", directory + "/linked"))
    case "unlink": return Int(unlink(directory + "/file"))
    case "mkdir": return Int(mkdir(directory + "/inner", 0o700))
    case "rmdir": return Int(rmdir(directory + "/inner"))
    default: fatalError("there is no call \(name)")
    }
}

for argument in CommandLine.arguments.dropFirst(2) {
    let words = argument.split(separator: ":")
    errno = 0
    let result = call(words[0], words.count > 1 ? Int(words[1]) ?? 0 : 0)
    print(result < 0 ? "\(argument) failed \(errno)" : "\(argument) \(result)")
}
