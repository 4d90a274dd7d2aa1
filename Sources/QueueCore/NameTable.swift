import TQModel

/// Names of one kind and the numbers that stand for them; a number is given once and kept.
struct NameTable: Sendable {
    private struct Scoped: Hashable {
        var namespace: UInt32
        var name: Name
    }

    private var numbers: [Scoped: UInt32] = [:]
    private var names: ContiguousArray<Name> = [Name(bytes: [])]
    private var namespaces: ContiguousArray<UInt32> = [0]
    /// The last name that was found: a batch mostly repeats one.
    private var recent: (scoped: Scoped, number: UInt32)?

    /// Names given so far.
    var count: Int { names.count - 1 }

    func name(_ number: UInt32) -> Name { names.indices.contains(Int(number)) ? names[Int(number)] : Name(bytes: []) }

    func namespace(_ number: UInt32) -> UInt32 {
        namespaces.indices.contains(Int(number)) ? namespaces[Int(number)] : 0
    }

    mutating func number(of name: Name, namespace: UInt32) -> UInt32? {
        if let recent, recent.scoped.namespace == namespace, recent.scoped.name == name { return recent.number }
        let scoped = Scoped(namespace: namespace, name: name)
        guard let number = numbers[scoped] else { return nil }
        recent = (Scoped(namespace: namespace, name: names[Int(number)]), number)
        return number
    }

    /// The number of a name, for who asks seldom.
    func known(_ name: Name, namespace: UInt32) -> UInt32? { numbers[Scoped(namespace: namespace, name: name)] }

    /// Adds a name under a number; recovery may add them in any order.
    mutating func insert(_ name: Name, namespace: UInt32, number: UInt32) {
        while names.count <= Int(number) {
            names.append(Name(bytes: []))
            namespaces.append(0)
        }
        // A copy, so that a name does not keep the network buffer alive that it came in.
        let own = Name(bytes: Bytes(Array(name.bytes)))
        names[Int(number)] = own
        namespaces[Int(number)] = namespace
        numbers[Scoped(namespace: namespace, name: own)] = number
    }
}
