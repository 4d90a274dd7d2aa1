import Glibc

/// How many files and sockets this process may have open.
enum DescriptorLimit {
    /// What the store and the process itself have open at most: table files, logs, directories, standard streams.
    static let reserved = 400

    /// Raises the limit as far as the system lets this user, and says how many descriptors there are.
    ///
    /// Without a descriptor for its next log the store fails, so connections must leave it some.
    static func raise() -> Int {
        let files = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        var limit = rlimit()
        guard getrlimit(files, &limit) == 0 else { return 1024 }
        limit.rlim_cur = limit.rlim_max
        if setrlimit(files, &limit) != 0 { getrlimit(files, &limit) }
        return Int(clamping: limit.rlim_cur)
    }
}
