internal import CNGHTTP2
public import HTTPWire

/// Who hears of a session's streams. Calls come from within `HTTP2Session.receive` and `HTTP2Session.nextOutput`; what they submit leaves by
/// later calls of the latter, and no call of the two may be made from within.
public protocol HTTP2StreamEvents: AnyObject {
    /// A request's fields are whole, and its body, if there is one, follows.
    func requestBegan(_ stream: Int32, _ fields: consuming FieldBlock, isWhole: Bool)
    /// A piece of the body, valid during the call. False: it is kept, and the peer may not send more in its place before
    /// `HTTP2Session.bodyTaken`.
    func bodyArrived(_ stream: Int32, _ piece: UnsafeRawBufferPointer) -> Bool
    func bodyEnded(_ stream: Int32)
    /// The reply is whole, and the request is not: what follows of it is told of as before, until the stream is reset.
    func replyLeft(_ stream: Int32)
    /// The stream is gone, by its end or by a reset; nothing more is heard of it.
    func streamClosed(_ stream: Int32)
    /// Gives the next bytes of a reply's body.
    func bodyWanted(_ stream: Int32, _ space: UnsafeMutableRawBufferPointer) -> HTTP2BodyPart
}

/// What there is of a reply's body.
public enum HTTP2BodyPart: Equatable, Sendable {
    /// So many bytes were written, and there may be more.
    case bytes(Int)
    /// So many (0: none) were written, and they are the last.
    case last(Int)
    /// There is nothing at the moment; `HTTP2Session.resumeBody` tells when there is.
    case later
}

/// Why a stream is ended early. Source: RFC 9113, 7.
public enum HTTP2Reason: UInt32, Sendable {
    /// Nothing is wrong: the reply is whole, and the rest of the request is not wanted.
    case noError = 0
    case cancelled = 8
    case enhanceYourCalm = 11
}

/// One connection of HTTP/2, by nghttp2: bytes in, events out; replies in, bytes out. It knows no socket and no clock. Confined to
/// one thread.
///
/// ```
///   bytes ─► receive ─► requestBegan ─► bodyArrived … ─► bodyEnded ─► (respond) ─► streamClosed
///   nextOutput ◄─ bodyWanted … ◄─ respond, resumeBody, reset, goAway
/// ```
/// Invalid events: what the peer does wrong on a stream ends that stream, on the connection the connection, both by nghttp2, and
/// what it does too much of by its limits and ours (`HTTP2Limits`); a reply for a stream that is gone is dropped.
public final class HTTP2Session {
    public let limits: HTTP2Limits
    private var session: OpaquePointer?
    /// It outlives the session.
    private let memory: HTTP2Memory
    private unowned let events: any HTTP2StreamEvents
    private let headLimits: HTTPLimits
    /// The fields that are arriving: one block at a time, as the protocol has it.
    private var block: Block?
    private var idleFrames: Double
    private var idleFramesAt: Int64 = 0
    private var nowNanoseconds: Int64 = 0
    /// Streams whose reply has a body that is not sent.
    private var sending: Set<Int32> = []
    /// Windows that the peer may open for what was sent, when nothing is sent any more.
    private var earnedUpdates = 0

    private final class Block {
        let stream: Int32
        var fields: FieldBlock
        init(_ stream: Int32, _ limits: HTTPLimits) {
            self.stream = stream
            fields = FieldBlock(limits: limits)
        }
    }

    /// Why a connection is over; what is to be said of it is in `nextOutput`.
    public enum Failure: Equatable, Sendable {
        /// The peer's bytes are no HTTP/2, or what it does is not allowed.
        case protocolViolation(code: Int32)
        /// It does too much of what costs us more than it.
        case flood
    }

    /// The bytes with which a client begins. Source: RFC 9113, 3.4.
    public static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    /// - Parameter space: shared with other sessions of the thread.
    public init(
        _ events: any HTTP2StreamEvents, limits: HTTP2Limits = HTTP2Limits(), head: HTTPLimits = HTTPLimits(),
        space: HTTP2FrameSpace = HTTP2FrameSpace()
    ) {
        self.events = events
        memory = HTTP2Memory(space)
        self.limits = limits
        headLimits = head
        idleFrames = Double(limits.idleFrames)
        var option: OpaquePointer?
        precondition(nghttp2_option_new(&option) == 0, "nghttp2 has no memory")
        nghttp2_option_set_stream_reset_rate_limit(option, limits.resets, limits.resetsPerSecond)
        nghttp2_option_set_max_continuations(option, limits.continuations)
        nghttp2_option_set_max_outbound_ack(option, limits.acknowledgements)
        nghttp2_option_set_max_settings(option, limits.settings)
        nghttp2_option_set_no_closed_streams(option, 1)
        nghttp2_option_set_no_auto_window_update(option, 1)
        // Fields of replies are spelled out. Those that a client would remember are few bytes, and the others new with each reply: remembered
        // they would fill the table, some 12 KB of memory on both sides.
        nghttp2_option_set_max_deflate_dynamic_table_size(option, 0)
        defer { nghttp2_option_del(option) }
        let own = Unmanaged.passUnretained(self).toOpaque()
        let made = memory.begin { nghttp2_session_server_new3(&session, Self.callbacks.pointer, own, option, $0) }
        precondition(made == 0, "nghttp2 has no memory")
        var settings = [
            nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS.rawValue), value: limits.streams),
            nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue), value: limits.streamWindow),
            nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE.rawValue), value: limits.fieldBytes),
            nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES.rawValue), value: 1),
        ]
        let submitted = nghttp2_submit_settings(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), &settings, settings.count)
        precondition(submitted == 0, "nghttp2 refuses its own settings: \(submitted)")
        _ = nghttp2_session_set_local_window_size(
            session, UInt8(NGHTTP2_FLAG_NONE.rawValue), 0, limits.connectionWindow)
    }

    deinit { nghttp2_session_del(session) }

    // MARK: Bytes

    /// Takes what has come, or says why nothing more is to be taken. `now`: monotonic nanoseconds, for what may be done in a second.
    public func receive(_ bytes: UnsafeRawBufferPointer, now: Int64) -> Failure? {
        nowNanoseconds = now
        guard let start = bytes.baseAddress, bytes.count > 0 else { return nil }
        let taken = nghttp2_session_mem_recv(session, start.assumingMemoryBound(to: UInt8.self), bytes.count)
        if taken >= 0 { return nil }
        let isFlood = taken == Int(NGHTTP2_ERR_FLOODED.rawValue) || taken == Int(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue)
        return isFlood ? .flood : .protocolViolation(code: Int32(truncatingIfNeeded: taken))
    }

    /// The next bytes for the peer, valid until the next call of this session or another one of the same `HTTP2FrameSpace`; nil: there are
    /// none.
    public func nextOutput() -> UnsafeRawBufferPointer? {
        var start: UnsafePointer<UInt8>?
        let count = nghttp2_session_mem_send(session, &start)
        guard count > 0, let start else { return nil }
        return UnsafeRawBufferPointer(start: start, count: count)
    }

    /// Gives back memory that is of no use while there is no stream; for a connection that has been silent for a while.
    public func rest() { memory.rest() }

    /// Whether nothing more is to be read and nothing to be sent: the connection has come to its end.
    public var isOver: Bool {
        nghttp2_session_want_read(session) == 0 && nghttp2_session_want_write(session) == 0
    }

    /// Whether fields have begun to arrive and are not whole.
    public var hasPartialFields: Bool { block != nil }

    // MARK: Replies

    /// Sends a reply. `head`: lines `Name: value`, each with CR LF behind it, of our own making. Without `hasBody` the reply ends with it.
    public func respond(_ stream: Int32, status: Int, head: UnsafeRawBufferPointer, hasBody: Bool) {
        withFields(status, head) { fields, count in
            guard hasBody else {
                _ = nghttp2_submit_response(session, stream, fields, count, nil)
                return
            }
            var provider = nghttp2_data_provider()
            provider.read_callback = Self.readBody
            if nghttp2_submit_response(session, stream, fields, count, &provider) == 0 { sending.insert(stream) }
        }
    }

    /// Lets a client that waits for it send its body.
    public func sendContinue(_ stream: Int32) {
        withFields(100, UnsafeRawBufferPointer(start: nil, count: 0)) { fields, count in
            _ = nghttp2_submit_headers(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream, nil, fields, count, nil)
        }
    }

    /// So many bytes of a request's body that were kept are kept no more: the peer may send as many.
    public func bodyTaken(_ stream: Int32, _ count: Int) { _ = nghttp2_session_consume_stream(session, stream, count) }

    /// More of a body has come together, after `HTTP2BodyPart.later`.
    public func resumeBody(_ stream: Int32) { _ = nghttp2_session_resume_data(session, stream) }

    public func reset(_ stream: Int32, _ reason: HTTP2Reason) {
        _ = nghttp2_submit_rst_stream(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream, reason.rawValue)
    }

    /// Says that the connection is about to end, and goes on taking what the peer had sent before it heard of it. Source: RFC 9113, 6.8.
    public func announceEnd() { _ = nghttp2_submit_shutdown_notice(session) }

    /// Takes no more streams, and says which was the last; those that there are go on.
    public func goAway() {
        _ = nghttp2_submit_goaway(
            session, UInt8(NGHTTP2_FLAG_NONE.rawValue), nghttp2_session_get_last_proc_stream_id(session), 0, nil, 0)
    }

    /// Ends the connection, and says why.
    public func terminate(_ reason: HTTP2Reason) { _ = nghttp2_session_terminate_session(session, reason.rawValue) }

    /// Makes the library's fields of a head.
    private func withFields(
        _ status: Int, _ head: UnsafeRawBufferPointer, _ body: (UnsafePointer<nghttp2_nv>, Int) -> Void
    ) {
        // Names are written in small letters, in place of a copy.
        var text = Array(":status".utf8) + Array(String(status).utf8) + Array(head)
        text.withUnsafeMutableBufferPointer { text in
            let base = text.baseAddress!
            func field(_ name: Range<Int>, _ value: Range<Int>) -> nghttp2_nv {
                nghttp2_nv(
                    name: base + name.lowerBound, value: base + value.lowerBound, namelen: name.count,
                    valuelen: value.count, flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue))
            }
            var at = 7 + 3
            var fields = [field(0..<7, 7..<at)]
            while at < text.count {
                guard let colon = text[at...].firstIndex(of: UInt8(ascii: ":")),
                    let end = text[colon...].firstIndex(of: UInt8(ascii: "\r"))
                else { preconditionFailure("a head of our own is not made of lines") }
                for index in at..<colon where text[index] &- UInt8(ascii: "A") < 26 { text[index] |= 0x20 }
                let value = min(colon + 2, end)
                fields.append(field(at..<colon, value..<end))
                at = end + 2
            }
            fields.withUnsafeBufferPointer { body($0.baseAddress!, $0.count) }
        }
    }

    // MARK: What the library tells

    private final class Callbacks: @unchecked Sendable {
        // SAFETY: written by `init`, read afterwards, never freed.
        let pointer: OpaquePointer?
        init(_ set: (OpaquePointer?) -> Void) {
            var made: OpaquePointer?
            precondition(nghttp2_session_callbacks_new(&made) == 0, "nghttp2 has no memory")
            set(made)
            pointer = made
        }
    }

    private static func own(_ user: UnsafeMutableRawPointer?) -> HTTP2Session {
        Unmanaged<HTTP2Session>.fromOpaque(user!).takeUnretainedValue()
    }

    private static let callbacks = Callbacks { callbacks in
        nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks) { _, frame, user in
            HTTP2Session.own(user).fieldsBegin(frame!.pointee)
        }
        nghttp2_session_callbacks_set_on_header_callback(callbacks) { _, frame, name, nameCount, value, valueCount, _, user in
            HTTP2Session.own(user).field(
                frame!.pointee.hd.stream_id, UnsafeRawBufferPointer(start: name, count: nameCount),
                UnsafeRawBufferPointer(start: value, count: valueCount))
        }
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) { _, _, stream, bytes, count, user in
            HTTP2Session.own(user).piece(stream, UnsafeRawBufferPointer(start: bytes, count: count))
            return 0
        }
        nghttp2_session_callbacks_set_on_frame_send_callback(callbacks) { _, frame, user in
            HTTP2Session.own(user).frameLeft(frame!.pointee)
            return 0
        }
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { _, frame, user in
            HTTP2Session.own(user).frameEnded(frame!.pointee)
        }
        nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks) { _, _, _, user in
            HTTP2Session.own(user).spendIdleFrame(HTTP2Limits.invalidFramePrice)
        }
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, stream, _, user in
            HTTP2Session.own(user).closed(stream)
            return 0
        }
    }

    private func fieldsBegin(_ frame: nghttp2_frame) -> Int32 {
        // Trailers are counted and not looked at.
        if frame.headers.cat == NGHTTP2_HCAT_REQUEST { block = Block(frame.hd.stream_id, headLimits) }
        return 0
    }

    private func field(_ stream: Int32, _ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Int32 {
        guard let block, block.stream == stream else { return spendIdleFrame() }
        block.fields.append(name, value)
        // Compressed, a field of 4 KiB is one byte: what is too much by far is not gone through.
        guard block.fields.size > Int(limits.fieldBytes) * limits.fieldExcess else { return 0 }
        self.block = nil
        return Int32(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue)
    }

    private func frameEnded(_ frame: nghttp2_frame) -> Int32 {
        let ends = frame.hd.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
        let stream = frame.hd.stream_id
        switch UInt32(frame.hd.type) {
        case NGHTTP2_HEADERS.rawValue:
            if let whole = block, whole.stream == stream {
                block = nil
                var fields = FieldBlock(limits: headLimits)
                swap(&fields, &whole.fields)
                events.requestBegan(stream, fields, isWhole: ends)
            } else if ends {
                events.bodyEnded(stream)
            }
            return 0
        case NGHTTP2_DATA.rawValue:
            if ends {
                events.bodyEnded(stream)
            } else if frame.hd.length == frame.data.padlen {
                return spendIdleFrame()
            }
            return 0
        case NGHTTP2_WINDOW_UPDATE.rawValue where !sending.isEmpty: return 0
        case NGHTTP2_WINDOW_UPDATE.rawValue where earnedUpdates > 0:
            earnedUpdates -= 1
            return 0
        default: return spendIdleFrame()
        }
    }

    private func piece(_ stream: Int32, _ bytes: UnsafeRawBufferPointer) {
        if events.bodyArrived(stream, bytes) {
            _ = nghttp2_session_consume(session, stream, bytes.count)
        } else {
            _ = nghttp2_session_consume_connection(session, bytes.count)
        }
    }

    private func frameLeft(_ frame: nghttp2_frame) {
        let type = UInt32(frame.hd.type)
        if type == NGHTTP2_DATA.rawValue { earnedUpdates += HTTP2Limits.updatesOfAFrame }
        guard type == NGHTTP2_HEADERS.rawValue || type == NGHTTP2_DATA.rawValue,
            frame.hd.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0,
            nghttp2_session_get_stream_remote_close(session, frame.hd.stream_id) == 0
        else { return }
        events.replyLeft(frame.hd.stream_id)
    }

    /// Counts a frame that brings nothing. Too many end the connection.
    private func spendIdleFrame(_ price: Int = 1) -> Int32 {
        let elapsed = Double(nowNanoseconds - idleFramesAt) / 1e9
        idleFramesAt = nowNanoseconds
        idleFrames =
            min(Double(limits.idleFrames), idleFrames + elapsed * Double(limits.idleFramesPerSecond)) - Double(price)
        if idleFrames >= 0 { return 0 }
        _ = nghttp2_session_terminate_session(session, HTTP2Reason.enhanceYourCalm.rawValue)
        return Int32(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue)
    }

    private func closed(_ stream: Int32) {
        if block?.stream == stream { block = nil }
        sending.remove(stream)
        events.streamClosed(stream)
    }

    private static let readBody: nghttp2_data_source_read_callback = { _, stream, buffer, count, flags, _, user in
        let own = HTTP2Session.own(user)
        switch own.events.bodyWanted(stream, UnsafeMutableRawBufferPointer(start: buffer, count: count)) {
        case .bytes(let written): return written
        case .last(let written):
            own.sending.remove(stream)
            flags!.pointee |= UInt32(NGHTTP2_DATA_FLAG_EOF.rawValue)
            return written
        case .later: return Int(NGHTTP2_ERR_DEFERRED.rawValue)
        }
    }
}
