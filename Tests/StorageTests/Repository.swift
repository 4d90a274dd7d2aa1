/// The files of this repository.
enum Repository {
    /// The path of a file named from the root.
    static func path(_ name: String) -> String {
        (#filePath.split(separator: "/").dropLast(3).map { "/" + $0 } + ["/" + name]).joined()
    }
}
