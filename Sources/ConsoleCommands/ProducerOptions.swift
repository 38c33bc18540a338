import CommandSyntax
import KafkaClient
import RecordFormat

extension Producer.Options {
    /// What the options of `produce` and `bench produce` make of a producer; `nil` is the default of each.
    init(codec: CommonOptions.Codec?, acks: CommonOptions.Acknowledgement?, isIdempotent: Bool, batchBytes: Int?) {
        self.init()
        compression = codec.map(Compression.init) ?? compression
        self.acks =
            switch acks {
            case .leader: 1
            case .nobody: 0
            case .all, nil: -1
            }
        self.isIdempotent = self.acks == -1 && isIdempotent
        self.batchBytes = batchBytes ?? self.batchBytes
    }
}

extension Compression {
    fileprivate init(_ codec: CommonOptions.Codec) {
        self =
            switch codec {
            case .none: .none
            case .gzip: .gzip
            case .snappy: .snappy
            case .lz4: .lz4
            case .zstd: .zstd
            }
    }
}
