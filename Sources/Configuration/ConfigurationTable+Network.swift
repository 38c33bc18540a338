extension ConfigurationTable {
    static let network: [ConfigurationKey] = [
        ConfigurationKey(
            "listeners", .listeners(usual: Configuration.usualKafkaName, among: []), default: "localhost:9092",
            "Addresses of the Kafka protocol; a name says by listener.security.protocol.map what is spoken there"),
        ConfigurationKey(
            "advertised.listeners", .listeners(usual: Configuration.usualKafkaName, among: []), default: nil,
            "Addresses that Metadata names to clients, by the name of the listener they came by; of one that is not here, "
                + "the address by which each client reached the broker"),
        ConfigurationKey(
            "listener.security.protocol.map", .list(among: []),
            default: "PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL",
            "What each name of listeners speaks: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"),
        ConfigurationKey(
            "security.allow.open", .boolean, default: "false",
            "Whether other machines are served where nobody is asked who he is; without, such a listener is refused at the start"
        ),
        ConfigurationKey(
            "num.network.threads", .integer(0...256), default: "0",
            "Event loops, each with its thread; 0: half as many as cores, at least 1, at most 8"),
        ConfigurationKey(
            "socket.request.max.bytes", .bytes(1024...Int64(Int32.max), width: .int), default: "104857600",
            "Longest Kafka request; a longer one closes its connection"),
        ConfigurationKey(
            "queued.max.request.bytes", .bytes(1_048_576...Int64.max), default: "109051904",
            "Memory of all requests in work and unsent replies; a connection that holds more than is free of it is not read. "
                + "At least socket.request.max.bytes"
        ),
        ConfigurationKey(
            "max.connections", .integer(1...1_000_000), default: "10000",
            "Kafka connections at a time; more are closed at once"),
        ConfigurationKey(
            "max.connections.per.ip", .integer(1...1_000_000), default: "10000",
            "Kafka connections at a time from one address"),
        ConfigurationKey(
            "connections.max.idle.ms", .duration(.milliseconds, 1000...Int64.max), default: "600000",
            "A Kafka connection without a request for this long is closed"),
        ConfigurationKey(
            "fetch.max.bytes", .bytes(1024...Int64(Int32.max), width: .int), default: "57671680",
            "Most bytes in one fetch reply, whatever the client asks, and never more than 1 MiB; a larger first batch is still sent"
        ),
        ConfigurationKey(
            "max.incremental.fetch.session.cache.slots", .integer(0...1_000_000), default: "1000",
            "Fetch sessions kept (KIP-227)"),
    ]
}
