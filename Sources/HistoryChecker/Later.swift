extension UInt64 {
    /// The sum, or the largest number when there is none: a damaged history must not stop its reader.
    func later(by milliseconds: UInt64) -> UInt64 {
        let (sum, isOverflow) = addingReportingOverflow(milliseconds)
        return isOverflow ? .max : sum
    }
}
