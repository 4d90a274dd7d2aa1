import TQModel

/// What bytes are: two optional fields, with the same tags in every record that carries a payload or a result.
extension Content {
    /// The tags of the two fields.
    struct Tags {
        let type: UInt8
        let encoding: UInt8

        /// Of the only bytes of a record, or of the payload where there is a result, too.
        static let own = Tags(type: 20, encoding: 21)
        /// Of the result, in a record that tells of a payload, too.
        static let ofResult = Tags(type: 22, encoding: 23)
    }

    /// Takes a field if it is one of the two, and says whether it was.
    mutating func set(
        _ field: Field,
        _ tags: Tags = .own,
        from reader: borrowing FieldReader
    ) throws(TQError) -> Bool {
        switch field.tag {
        case tags.type: type = try reader.name(of: field)
        case tags.encoding:
            let number: UInt8 = try reader.integer(of: field)
            guard let encoding = Encoding(rawValue: number) else {
                throw reader.malformed("encoding \(number) of a content is not known; 0 is identity, 1 is zstd")
            }
            self.encoding = encoding
        default: return false
        }
        return true
    }

    func write(to bytes: inout [UInt8], _ tags: Tags = .own) {
        if let type { bytes.append(field: tags.type, bytes: type.bytes) }
        bytes.append(field: tags.encoding, nonZero: encoding.rawValue)
    }
}
