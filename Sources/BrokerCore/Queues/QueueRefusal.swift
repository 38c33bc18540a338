/// Why a queue's call came to nothing.
public struct QueueRefusal: Error, Equatable, Sendable {
    public enum Kind: Sendable {
        /// There is no queue of the name.
        case notFound
        /// There is one, with other settings.
        case exists
        case invalidName
        /// A setting, or what a message or a receive asks for, is none that a queue takes.
        case invalid
        /// More bytes than the queue takes, or than one batch has room for.
        case tooLarge
        /// As many queues, partitions, waiting receivers or moves as there may be.
        case limit
        /// A move of its messages is under way.
        case inUse
        /// The disk is nearly full: appends are refused, all else goes on.
        case diskFull
        /// Not now: the state is being loaded, or its log takes nothing. To be tried again.
        case unavailable
    }

    public var kind: Kind
    /// A sentence for people.
    public var message: String

    public init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }
}
