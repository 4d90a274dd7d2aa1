import Glibc

/// Makes the name of a file or directory durable; syncing what it names does not promise that.
func syncEntry(of path: String) throws(StorageError) {
    let parent = directory(of: path)
    let descriptor = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .system("open", parent) }
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw .system("sync", parent) }
}

/// The directory that holds the last name of the path.
func directory(of path: String) -> String {
    let name = path.dropLast(path.reversed().prefix { $0 == "/" }.count)
    guard let slash = name.lastIndex(of: "/") else { return path.hasPrefix("/") ? "/" : "." }
    return String(name[...slash])
}
