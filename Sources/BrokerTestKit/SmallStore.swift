public import LogStorage

/// The settings of a store whose limits a test meets with a few batches. Tests and fuzz targets begin with these, and change
/// what they are about.
extension LogStoreOptions {
    /// A journal of files with four frames of `frameBytes`, and runs of half a frame that are written through.
    public static func small(frameBytes: Int = 16 << 10) -> LogStoreOptions {
        var options = LogStoreOptions()
        options.journalFrameBytes = frameBytes
        options.journalFileBytes = Int64(frameBytes) * 4
        options.writeThroughRunBytes = frameBytes / 2
        options.direct = false
        // What was written is read from its file.
        options.cacheBytes = 0
        options.reserveBytes = 0
        return options
    }
}

extension LogSettings {
    /// Nothing is removed by its age, and a few batches make several index entries.
    public static var small: LogSettings {
        var settings = LogSettings()
        settings.retentionMs = -1
        settings.indexIntervalBytes = 256
        return settings
    }
}
