import Logging

/// The metadata of one line in order of name: the event's over the logger's over the provider's.
func fields(
    of event: LogEvent,
    metadata: Logger.Metadata,
    provider: Logger.MetadataProvider?
) -> [(name: String, value: Logger.Metadata.Value)] {
    var merged = provider?.get() ?? [:]
    merged.merge(metadata) { $1 }
    if let own = event.metadata { merged.merge(own) { $1 } }
    if let error = event.error, merged["error"] == nil { merged["error"] = "\(error)" }
    var fields: [(name: String, value: Logger.Metadata.Value)] = []
    for (name, value) in merged { flatten(value, named: name, into: &fields) }
    return fields.sorted { $0.name < $1.name }
}

private func flatten(
    _ value: Logger.Metadata.Value,
    named name: String,
    into fields: inout [(name: String, value: Logger.Metadata.Value)]
) {
    guard case .dictionary(let inner) = value else { return fields.append((name, value)) }
    for (innerName, value) in inner { flatten(value, named: "\(name).\(innerName)", into: &fields) }
}
