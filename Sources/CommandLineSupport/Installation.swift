import Glibc

/// The path of a program of the same installation as this one.
///
/// - Throws: ``CommandFailure`` when it is not there.
public func siblingPath(_ name: String) throws -> String {
    let path = try ownDirectory() + "/" + name
    guard access(path, X_OK) == 0 else {
        throw CommandFailure(.missingInstall, "There is no \(path): build or install it too.")
    }
    return path
}

/// The path of a library of the same installation: beside this program as it was built, or in `lib/tq` beside `bin`.
///
/// - Throws: ``CommandFailure`` when it is not there.
public func libraryPath(_ name: String) throws -> String {
    let directory = try ownDirectory()
    let paths = [directory + "/" + name, directory + "/../lib/tq/" + name]
    guard let path = paths.first(where: { access($0, R_OK) == 0 }) else {
        throw CommandFailure(.missingInstall, "There is no \(paths[0]): build or install it too.")
    }
    return path
}

private func ownDirectory() throws -> String {
    guard let own = realpath("/proc/self/exe", nil) else {
        throw CommandFailure(.failed, "Cannot find out where this program is: \(String(cString: strerror(errno))).")
    }
    defer { free(own) }
    return String(cString: dirname(own))
}

/// What a person types to run a program of this installation, in whichever directory: its name when this program was
/// found by its own, else its path.
public func typedCommand(_ name: String) -> String {
    guard let own = CommandLine.arguments.first, let slash = own.lastIndex(of: "/") else { return name }
    var directory = String(own[...slash])
    if !directory.hasPrefix("/"), let current = getcwd(nil, 0) {
        directory =
            String(cString: current) + "/" + (directory.hasPrefix("./") ? String(directory.dropFirst(2)) : directory)
        free(current)
    }
    return (directory + name).quotedForShell
}

extension String {
    /// The text as one word of a shell's command line.
    var quotedForShell: String {
        let isPlain = !isEmpty && allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "_-./+:@%".contains($0)) }
        return isPlain
            ? self : "'" + split(separator: "'", omittingEmptySubsequences: false).joined(separator: #"'\''"#) + "'"
    }
}
