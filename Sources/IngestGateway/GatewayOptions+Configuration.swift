public import Configuration

extension GatewayOptions {
    public init(_ configuration: Configuration) {
        self.init()
        maxConnections = configuration.maxHTTPConnections
        maxConnectionsPerIP = configuration.maxHTTPConnectionsPerIP
        maxRequestBytes = configuration.maxHTTPRequestBytes
        maxFileBytes = Int(configuration.integer("http.max.file.bytes"))
        maxEventBytes = configuration.maxHTTPEventBytes
        maxInflightBytes = configuration.maxHTTPInflightBytes
        maxInflightBytesPerPeer = configuration.maxHTTPInflightBytesPerIP
        maxStreams = Int(configuration.integer("http.max.streams"))
        maxStreamsPerIP = Int(configuration.integer("http.max.streams.per.ip"))
        servesHTTP2 = configuration.servesHTTP2
        requestTimeout = .milliseconds(configuration.httpRequestTimeoutMs)
        keepAlive = .milliseconds(configuration.httpKeepAliveMs)
        callerRate = Int(configuration.integer("http.caller.rate"))
        callerBurst = Int(configuration.integer("http.caller.burst"))
        maxOpenRequestsPerCaller = Int(configuration.integer("http.caller.max.open"))
        let age = configuration.integer("http.connection.max.age.ms")
        maxConnectionAge = age == 0 ? nil : .milliseconds(age)
        startedTraces =
            switch configuration.startedTraces {
            case "sampled": .sampled
            case "unsampled": .unsampled
            default: nil
            }
        idempotencyTTL = .milliseconds(configuration.idempotencyTTLMs)
        maxIdempotencyKeys = configuration.maxIdempotencyKeys
        maxIdempotencyBytes = configuration.maxIdempotencyBytes
        idempotencySharePercent = Int(configuration.integer("http.idempotency.share.percent"))
        eventsTopic = configuration.eventsTopic
        ingestTopic = configuration.ingestTopic
        ingestEventTypes = configuration.ingestEventTypes
        takesAnyAWSSignature = configuration.takesAnyAWSSignature
        sqsAddress = configuration.sqsAddress
        sqsRegion = configuration.sqsRegion
        ingestRate = configuration.ingestRate ?? 0
        ingestBurst = configuration.ingestRate == nil ? 0 : configuration.ingestBurst
    }
}
