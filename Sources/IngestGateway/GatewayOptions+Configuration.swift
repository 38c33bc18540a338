public import Configuration

extension GatewayOptions {
    public init(_ configuration: Configuration) {
        self.init()
        maxConnections = configuration.maxHTTPConnections
        maxConnectionsPerIP = configuration.maxHTTPConnectionsPerIP
        maxRequestBytes = configuration.maxHTTPRequestBytes
        maxEventBytes = configuration.maxHTTPEventBytes
        maxInflightBytes = configuration.maxHTTPInflightBytes
        maxInflightBytesPerPeer = configuration.maxHTTPInflightBytesPerIP
        requestTimeout = .milliseconds(configuration.httpRequestTimeoutMs)
        keepAlive = .milliseconds(configuration.httpKeepAliveMs)
        eventsTopic = configuration.eventsTopic
        ingestTopic = configuration.ingestTopic
        ingestEventTypes = configuration.ingestEventTypes
        ingestRate = configuration.ingestRate ?? 0
        ingestBurst = configuration.ingestRate == nil ? 0 : configuration.ingestBurst
    }
}
