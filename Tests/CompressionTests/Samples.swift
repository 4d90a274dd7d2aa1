import CZstd
import Compression
import TQModel

/// Payloads as programs make them: alike, and not the same.
func sample(_ number: Int) -> Bytes {
    let names = ["ada", "grace", "edsger", "barbara", "donald"]
    return Bytes(
        """
        {"kind": "invoice", "id": \(number * 7919 % 100_003), "customer": {"name": "\(names[number % 5])", "country": "DE"}, \
        "lines": [{"article": \(number % 97), "count": \(number % 7 + 1)}], "paid": \(number.isMultiple(of: 3))}
        """.utf8
    )
}

/// What `zstd --train` makes of such payloads, with a number of one's own.
func dictionary(id: UInt32, from first: Int = 0) throws -> CompressionDictionary {
    try CompressionDictionary(Bytes(trained(id: id, from: first)))
}

func trained(id: UInt32, from first: Int = 0) -> [UInt8] {
    let samples = (first..<first + 400).map { Array(sample($0)) }
    let content = Array(samples.joined().prefix(2_000))
    let sizes = samples.map(\.count)
    let all = Array(samples.joined())
    var parameters = ZDICT_params_t()
    parameters.dictID = id
    return [UInt8](unsafeUninitializedCapacity: 8_192) { target, count in
        count = ZDICT_finalizeDictionary(
            target.baseAddress,
            target.count,
            content,
            content.count,
            all,
            sizes,
            UInt32(sizes.count),
            parameters
        )
    }
}
