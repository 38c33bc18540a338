extension ConfigurationTable {
    static let gateway: [ConfigurationKey] = [
        ConfigurationKey(
            "http.listener",
            .listeners(
                usual: Configuration.usualHTTPName, among: [Configuration.usualHTTPName, Configuration.secureHTTPName]),
            default: "localhost:8080",
            "Address of the HTTP gateway, of https by the certificate of ssl.keystore, or of both"),
        ConfigurationKey(
            "http.enable", .boolean, default: "true", "Whether the HTTP gateway is served"),
        ConfigurationKey(
            "http2.enable", .boolean, default: "true",
            "Whether HTTP/2 is spoken beside HTTP/1.1: over https where ALPN says so, without TLS by clients that know it"
        ),
        ConfigurationKey(
            "admin.listener",
            .listeners(
                usual: Configuration.usualHTTPName, among: [Configuration.usualHTTPName, Configuration.secureHTTPName]),
            default: nil,
            "Address of a listener of its own for /metrics, /stats and /trace, which http.listener then does not serve; /healthz and "
                + "/readyz are at both. Unset: http.listener has them all"),
        ConfigurationKey(
            "http.auth", .choice(["off", "optional", "required"]), default: "off",
            "Whether requests show who makes them, by an API key, a token, or a user's name and password (Basic). required: 401 "
                + "without, but for /healthz and /readyz; optional: who shows nothing is User:ANONYMOUS. ACLs hold then for HTTP, too"
        ),
        ConfigurationKey(
            "http.auth.bare.tokens", .boolean, default: "false",
            "Whether a token may stand in Authorization without the word Bearer, as AWS's gateways take it"),
        ConfigurationKey(
            "http.allowed.hosts", .list(among: []), default: "",
            "Hosts that requests may be for, without a port; others are answered 421, but for /healthz and /readyz. Empty: any"
        ),
        ConfigurationKey(
            "http.trusted.proxies", .list(among: []), default: "",
            "Addresses and ranges (10.0.0.0/8) of proxies that are believed for whom they send. Of all others the socket's address "
                + "counts"),
        ConfigurationKey(
            "http.forwarded.header", .choice(["x-forwarded-for", "forwarded"]), default: "x-forwarded-for",
            "The header in which http.trusted.proxies say so; the other one is not looked at"),
        ConfigurationKey(
            "http.proxy.protocol", .list(among: []), default: "",
            "Listeners of http.listener whose every connection begins with the PROXY protocol's header, version 2, and comes from "
                + "http.trusted.proxies"),
        ConfigurationKey(
            "http.caller.rate", .integer(0...1_000_000_000), default: "100000",
            "Requests a second of one API key, one user or, of whoever shows nothing, one address, over all routes; above it 429. 0: "
                + "no limit"),
        ConfigurationKey(
            "http.caller.burst", .integer(0...1_000_000_000), default: "0",
            "Requests of one caller at once above http.caller.rate; 0: one second's worth"),
        ConfigurationKey(
            "http.caller.max.open", .integer(0...1_000_000), default: "8000",
            "Requests of one caller that are begun and not answered: bodies on the way, waits for messages or workers. Above it 429. "
                + "0: no limit"),
        ConfigurationKey(
            "http.max.connections", .integer(1...1_000_000), default: "10000",
            "HTTP connections at a time; more are answered 503 and closed"),
        ConfigurationKey(
            "http.max.connections.per.ip", .integer(1...1_000_000), default: "256",
            "HTTP connections at a time from one address"),
        ConfigurationKey(
            "http.max.streams", .integer(0...1_000_000), default: "4000",
            "Streams of records at a time; more are answered 503"),
        ConfigurationKey(
            "http.max.streams.per.ip", .integer(0...1_000_000), default: "1000",
            "Streams of records at a time of one address; more are answered 429"),
        ConfigurationKey(
            "http.max.request.bytes", .bytes(1024...Int64(Int32.max), width: .int), default: "16777216",
            "Longest request body that is handled in one piece; a longer one of lines or CSV is taken in windows unless it has a key, is atomic or signed; all others are answered 413"
        ),
        ConfigurationKey(
            "http.max.file.bytes", .bytes(1024...(1 << 40)), default: "1073741824",
            "Longest file, unpacked; of a longer one the rows before are stored, and the reply is 413 and says so"),
        ConfigurationKey(
            "http.max.event.bytes", .bytes(1...Int64(Int32.max), width: .int), default: "1048576",
            "Longest single event"),
        ConfigurationKey(
            "http.max.inflight.bytes", .bytes(1_048_576...Int64.max), default: "67108864",
            "Memory for request bodies that are not whole, over all connections: for each 16 KiB, or twice what has arrived of "
                + "it and no more than its length; above it requests are answered 503. At most queued.max.request.bytes"
        ),
        ConfigurationKey(
            "http.max.inflight.bytes.per.ip", .bytes(1024...Int64.max), default: "33554432",
            "The share of http.max.inflight.bytes that one address may have. At least http.max.request.bytes"),
        ConfigurationKey(
            "http.request.timeout.ms", .duration(.milliseconds, 100...Int64(Int32.max), width: .int),
            default: "30000", "A request that is not answered within this time gets 408 or 504"),
        ConfigurationKey(
            "http.keep.alive.ms", .duration(.milliseconds, 100...Int64(Int32.max), width: .int), default: "75000",
            "An HTTP connection without a request for this long is closed"),
        ConfigurationKey(
            "http.connection.max.age.ms", .duration(.milliseconds, 0...Int64(Int32.max), width: .int),
            default: "3600000",
            "An HTTP connection as old as this, or a tenth more or less, ends with its next reply, so that clients find new addresses; "
                + "0: it does not"),
        ConfigurationKey(
            "http.trace.start", .choice(["never", "sampled", "unsampled"]), default: "never",
            "Whether a request without a valid traceparent begins a trace, for the record headers of routes that ask for it and for the "
                + "log; sampled: who goes on with it is asked to record what he does"),
        ConfigurationKey(
            "http.idempotency.ttl.ms", .duration(.milliseconds, 60_000...86_400_000), default: "86400000",
            "How long the key of a request is remembered: a repeat within this time stores nothing and gets the first reply"
        ),
        ConfigurationKey(
            "http.idempotency.max.keys", .integer(1...100_000_000), default: "1000000",
            "Keys of requests that are remembered at most; at it a request with a new key is answered 503"),
        ConfigurationKey(
            "http.idempotency.max.bytes", .bytes(65_536...Int64.max), default: "67108864",
            "Memory for them and their replies, some 600 bytes each; at it a request with a new key is answered 503"),
        ConfigurationKey(
            "http.idempotency.share.percent", .integer(1...100), default: "50",
            "How much of both one principal may have, or one address of whoever shows nothing; at it his requests with a new key "
                + "are answered 429"),
        ConfigurationKey(
            "gateway.events.topic", .text, default: "events", "Topic of POST /events"),
        ConfigurationKey(
            "gateway.ingest.topic", .text, default: "ingest", "Topic of POST /ingest"),
        ConfigurationKey(
            "gateway.ingest.event.types", .list(among: []), default: "",
            "The event types that POST /ingest takes; empty: every type"),
        ConfigurationKey(
            "gateway.ingest.rate", .integer(0...1_000_000_000), default: "0",
            "Requests a second that POST /ingest takes before it answers 429; 0: no limit"),
        ConfigurationKey(
            "gateway.ingest.burst", .integer(0...1_000_000_000), default: "0",
            "Requests that POST /ingest takes at once above its rate; 0: one second's worth"),
        ConfigurationKey(
            "sqs.anonymous", .boolean, default: "false",
            "Whether requests of SQS and of Kinesis that come from this machine may be signed by any key, as emulators take them, "
                + "where http.auth asks for one"),
        ConfigurationKey(
            "sqs.url", .text, default: nil,
            "What the addresses of queues begin with, such as https://queues.example.com; unset: the scheme and host that a request "
                + "came to"),
        ConfigurationKey(
            "sqs.region", .text, default: "us-east-1", "The region in the resource names of queues and streams"),
    ]
}
