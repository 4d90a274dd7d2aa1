/// The version of every program of this package.
public let tqVersion = "0.1.0"
