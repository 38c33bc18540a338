public enum Version {
    /// The version of this build, as `--version`, the metrics page and our own requests to a broker name it.
    public static let current = "0.1.0"
}
