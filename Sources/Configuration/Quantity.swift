/// Sizes and times with a unit, as the configuration file and the command line take them: `64MiB`, `7d`.
public enum Quantity {
    /// Bytes of `1024`, `64KiB`, `1MB`; a bare number counts bytes.
    public static func bytes(_ text: String) -> Int64? {
        ConfigurationKey.quantity(ConfigurationKey.trimmed(text), units: ConfigurationKey.byteUnits)
    }

    /// Milliseconds of `500ms`, `30s`, `12h`, `7d`, `2w`; a bare number counts `bareMs` of them.
    public static func milliseconds(_ text: String, bareMs: Int64 = 1) -> Int64? {
        let text = ConfigurationKey.trimmed(text)
        if let plain = ConfigurationKey.number(text) {
            let (product, overflow) = plain.multipliedReportingOverflow(by: bareMs)
            return overflow ? nil : product
        }
        return ConfigurationKey.quantity(text, units: ConfigurationKey.durationUnits)
    }

    /// A topic's setting with its unit taken off, by what the setting's name says that it counts: `retention.ms=7d` is
    /// 604800000. What is not a quantity with a unit is left as it is, for the broker to judge.
    public static func setting(_ name: String, _ value: String) -> String {
        let known: Int64?
        if name.hasSuffix(".ms") {
            known = milliseconds(value)
        } else if name.hasSuffix(".bytes") {
            known = bytes(value)
        } else {
            known = nil
        }
        return known.map(String.init) ?? value
    }
}
