public import Forwarder

/// Where a subscription's messages go.
public protocol PushDestination: AnyObject, Sendable {
    /// A way to it for one thread.
    func connection() -> any PushConnection
    /// The subscription is being stopped: calls that wait end soon. On any thread.
    func interrupt()
}

public protocol PushConnection: AnyObject {
    /// Hands over messages of one batch, one or more, and waits for what the receiver says of them; how long is its own limit.
    func push(_ messages: [ReceivedMessage]) -> PushOutcome
}
