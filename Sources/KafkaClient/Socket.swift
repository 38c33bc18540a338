internal import Glibc
internal import TLS

/// A TCP connection, by TLS or not, whose reads and writes wait with a deadline. Used by one thread.
final class Socket {
    private let descriptor: Int32
    private let address: BrokerAddress
    private let isCancelled: (@Sendable () -> Bool)?
    /// Nil: in plain text.
    private var tls: TLSClientSession?

    /// Bytes that are sealed, or taken from the socket to be opened, at once.
    private static let tlsPiece = 64 << 10
    /// A wait looks this often whether it was cancelled, should the signal come just before it began.
    private static let pollSliceMs: Int64 = 250

    private init(descriptor: Int32, address: BrokerAddress, isCancelled: (@Sendable () -> Bool)?) {
        self.descriptor = descriptor
        self.address = address
        self.isCancelled = isCancelled
    }

    deinit { close(descriptor) }

    /// Tries every address of the host, IPv6 and IPv4, in the order that the resolver gives.
    static func connect(
        to address: BrokerAddress, deadline: Deadline, isCancelled: (@Sendable () -> Bool)?
    ) throws(ClientError) -> Socket {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let resolved = getaddrinfo(address.host, String(address.port), &hints, &list)
        guard resolved == 0 else {
            throw .unreachable(address, reason: String(cString: gai_strerror(resolved)))
        }
        defer { freeaddrinfo(list) }
        var reason = "no address"
        var next = list
        while let candidate = next?.pointee {
            next = candidate.ai_next
            let kind = candidate.ai_socktype | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
            let descriptor = socket(candidate.ai_family, kind, candidate.ai_protocol)
            guard descriptor >= 0 else {
                reason = String(cString: strerror(errno))
                continue
            }
            let socket = Socket(descriptor: descriptor, address: address, isCancelled: isCancelled)
            let failure = try socket.finishConnect(candidate, deadline)
            if failure == 0 {
                var one: Int32 = 1
                setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
                return socket
            }
            reason = String(cString: strerror(failure))
        }
        throw .unreachable(address, reason: reason)
    }

    /// 0, or the errno of the connection that was not made.
    private func finishConnect(_ candidate: addrinfo, _ deadline: Deadline) throws(ClientError) -> Int32 {
        if Glibc.connect(descriptor, candidate.ai_addr, candidate.ai_addrlen) == 0 { return 0 }
        guard errno == EINPROGRESS || errno == EINTR else { return errno }
        guard try wait(for: Int16(POLLOUT), deadline) else { return ETIMEDOUT }
        var failure: Int32 = 0
        var length = socklen_t(4)
        getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &failure, &length)
        return failure
    }

    /// Whether the socket became ready before the deadline.
    private func wait(for events: Int16, _ deadline: Deadline) throws(ClientError) -> Bool {
        while true {
            if isCancelled?() == true { throw .cancelled }
            let remaining = deadline.remainingMs
            var entry = pollfd(fd: descriptor, events: events, revents: 0)
            let ready = poll(&entry, 1, Int32(min(remaining, Self.pollSliceMs)))
            if ready > 0 { return true }
            if ready < 0 && errno != EINTR { throw lost(errno) }
            if remaining == 0 { return false }
        }
    }

    /// Speaks TLS from here on: the handshake.
    func secure(by settings: TLSClientSettings, _ deadline: Deadline) throws(ClientError) {
        let session: TLSClientSession
        do throws(TLSConfigurationError) { session = try TLSClientSession(settings, host: address.host) } catch {
            throw .unreachable(address, reason: error.description)
        }
        let piece = Self.piece()
        defer { piece.deallocate() }
        while true {
            try checkTime(deadline)
            do throws(TLSClientFailure) {
                if try session.shakeHands() { break }
            } catch {
                // The alert, for the other side's log.
                try? send(session.takeRecords(), deadline)
                throw .unreachable(address, reason: error.reason)
            }
            try send(session.takeRecords(), deadline)
            session.feed(UnsafeRawBufferPointer(rebasing: piece[..<(try receive(into: piece, deadline))]))
        }
        try send(session.takeRecords(), deadline)
        tls = session
    }

    /// Of TLS much may come that brings nothing: whoever sends it without an end would never have us wait, which is where time and stops
    /// are looked at otherwise.
    private func checkTime(_ deadline: Deadline) throws(ClientError) {
        if isCancelled?() == true { throw .cancelled }
        if deadline.hasPassed { throw .timedOut("\(address) is silent") }
    }

    private static func piece() -> UnsafeMutableRawBufferPointer { .allocate(byteCount: tlsPiece, alignment: 16) }

    /// Whether a read would find bytes, or the end, now.
    func isReadable() -> Bool {
        if tls?.hasInput == true { return true }
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, 0) > 0
    }

    func write(_ bytes: UnsafeRawBufferPointer, deadline: Deadline) throws(ClientError) {
        guard let tls else { return try send(bytes, deadline) }
        var rest = bytes[...]
        while !rest.isEmpty {
            let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(Self.tlsPiece))
            rest = rest.dropFirst(piece.count)
            do throws(TLSClientFailure) { try tls.seal(piece) } catch {
                throw .unreachable(address, reason: error.reason)
            }
            try send(tls.takeRecords(), deadline)
        }
    }

    /// Fills `buffer`.
    func read(into buffer: UnsafeMutableRawBufferPointer, deadline: Deadline) throws(ClientError) {
        var filled = 0
        var piece: UnsafeMutableRawBufferPointer?
        defer { piece?.deallocate() }
        while filled < buffer.count {
            let room = UnsafeMutableRawBufferPointer(rebasing: buffer[filled...])
            guard let tls else {
                filled += try receive(into: room, deadline)
                continue
            }
            try checkTime(deadline)
            let opened: Int
            do throws(TLSClientFailure) { opened = try tls.open(into: room) } catch {
                try? send(tls.takeRecords(), deadline)
                throw .unreachable(address, reason: error.reason)
            }
            filled += opened
            // What the protocol itself answers, as to a change of keys.
            let answer = tls.takeRecords()
            if !answer.isEmpty { try send(answer, deadline) }
            if opened > 0 { continue }
            let place = piece ?? Self.piece()
            piece = place
            tls.feed(UnsafeRawBufferPointer(rebasing: place[..<(try receive(into: place, deadline))]))
        }
    }

    private func send(_ bytes: [UInt8], _ deadline: Deadline) throws(ClientError) {
        var failure: ClientError?
        bytes.withUnsafeBytes { bytes in
            do throws(ClientError) { try send(bytes, deadline) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    private func send(_ bytes: UnsafeRawBufferPointer, _ deadline: Deadline) throws(ClientError) {
        var sent = 0
        while sent < bytes.count {
            let count = Glibc.send(descriptor, bytes.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
            if count >= 0 {
                sent += count
            } else if errno == EAGAIN {
                guard try wait(for: Int16(POLLOUT), deadline) else { throw .timedOut("\(address) takes no more bytes") }
            } else if errno != EINTR {
                throw lost(errno)
            }
        }
    }

    /// Waits for bytes; returns how many came, 1 or more.
    private func receive(into buffer: UnsafeMutableRawBufferPointer, _ deadline: Deadline) throws(ClientError) -> Int {
        while true {
            let count = recv(descriptor, buffer.baseAddress!, buffer.count, 0)
            if count > 0 { return count }
            if count == 0 {
                throw .unreachable(address, reason: "it closed the connection")
            } else if errno == EAGAIN {
                guard try wait(for: Int16(POLLIN), deadline) else { throw .timedOut("\(address) is silent") }
            } else if errno != EINTR {
                throw lost(errno)
            }
        }
    }

    private func lost(_ number: Int32) -> ClientError {
        .unreachable(address, reason: String(cString: strerror(number)))
    }
}
