import HTTPWire

/// Takes a body piece by piece, for an endpoint that does not want it in one (`BodyWish.streamed`). It belongs to one request, and
/// is told of nothing any more when that is given up.
protocol BodyReader: AnyObject {
    /// Takes the next piece, a range of the connection's input that ends with the call. The registers of the loop are another
    /// request's. The result refuses the request: its reply is written, and the rest of the body is not read.
    func take(_ piece: UnsafeRawBufferPointer, on loop: GatewayLoop) -> Problem?
    /// Handles the request, whose body has ended; it is the request at hand.
    func end(on loop: GatewayLoop) -> Completion
    /// Bytes that it takes at the moment.
    var room: Int { get }
}

extension BodyReader {
    var room: Int { .max }
}

/// A body while it is read in pieces: who takes them, and how many there will be.
final class StreamedBody {
    let reader: any BodyReader
    var framing: Framing
    /// Bytes that were taken.
    var received = 0
    /// The reader, where it takes the body in windows.
    var windows: WindowedBody? { reader as? WindowedBody }

    enum Framing {
        /// So many bytes are still to come.
        case length(Int)
        case chunks(ChunkedDecoder)
    }

    init(_ reader: any BodyReader, _ framing: Framing) {
        self.reader = reader
        self.framing = framing
    }
}
