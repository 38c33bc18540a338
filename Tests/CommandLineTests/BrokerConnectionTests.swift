import ByteBuffers
import KafkaModel
import KafkaWire
import Synchronization
import Testing

@testable import KafkaClient

@Suite struct BrokerConnectionTests {
    private func connect(_ broker: FakeBroker) throws(ClientError) -> BrokerConnection {
        try BrokerConnection(to: broker.address, options: Fake.options(), deadline: .after(milliseconds: 10_000))
    }

    @Test func theFirstFrameIsApiVersionsInItsLatestVersion() throws {
        let broker = try FakeBroker { header, _ in FakeBroker.versions([(.metadata, 0...13)], to: header) }
        defer { broker.stop() }
        let connection = try connect(broker)
        let frame = broker.frames.withLock { $0[0] }
        let latest = ApiVersionsRequest.versions.upperBound
        // Key 18, its version, correlation 0, client id "millrace" with a two-byte length, no tagged fields.
        let start: [UInt8] = [0, 18, 0, UInt8(latest), 0, 0, 0, 0, 0, 8] + Array("millrace".utf8)
        #expect(Array(frame[..<18]) == start)
        #expect(frame[18] == 0)
        // The software's name as a compact string.
        let name: [UInt8] = [9] + Array("millrace".utf8)
        #expect(Array(frame[19..<28]) == name)
        #expect(connection.version(for: MetadataRequest.self) == 13)
        #expect(connection.version(for: MetadataRequest.self, limit: 4) == 4)
        #expect(connection.version(for: ProduceRequest.self) == nil)
    }

    @Test func aBrokerThatDoesNotKnowOurVersionIsAskedInItsOwn() throws {
        let broker = try FakeBroker { header, _ in
            guard header.requestAPIVersion > 3 else { return FakeBroker.versions([(.fetch, 4...11)], to: header) }
            // Version 0, whatever was asked: the error, and which versions there are.
            var response = ApiVersionsResponse()
            response.errorCode = ErrorCode.unsupportedVersion.rawValue
            var entry = ApiVersionsResponse.ApiVersion()
            entry.apiKey = APIKey.apiVersions.rawValue
            entry.maxVersion = 3
            response.apiKeys = [entry]
            return FakeBroker.encode(response, to: header, version: 0)
        }
        defer { broker.stop() }
        #expect(try connect(broker).version(for: FetchRequest.self) == 11)
        #expect(broker.frames.withLock { $0.map { $0[3] } } == [UInt8(ApiVersionsRequest.versions.upperBound), 3])
    }

    @Test func aBrokerThatNamesNoVersionIsAskedInVersion0() throws {
        let broker = try FakeBroker { header, _ in
            if header.requestAPIVersion == 0 { return FakeBroker.versions([(.fetch, 4...4)], to: header) }
            var response = ApiVersionsResponse()
            response.errorCode = ErrorCode.unsupportedVersion.rawValue
            return FakeBroker.encode(response, to: header, version: 0)
        }
        defer { broker.stop() }
        #expect(try connect(broker).version(for: FetchRequest.self) == 4)
    }

    @Test func aPeerThatIsNoBrokerIsToldApart() throws {
        let cases: [(FakeBroker.Answer, String)] = [
            ({ _, _ in Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8) }, "answers request"),
            ({ _, _ in [0, 0, 0, 0] }, "ends too early"),
            ({ _, _ in nil }, "closed the connection"),
            (
                { header, _ in FakeBroker.versions([], to: header) + [1] }, "bytes after the end of the message"
            ),
        ]
        for (answer, expected) in cases {
            let broker = try FakeBroker(answer)
            defer { broker.stop() }
            do {
                _ = try connect(broker)
                Issue.record("connected")
            } catch {
                #expect(error.description.contains(expected), "\(error)")
            }
        }
    }

    @Test(arguments: [
        (Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8), "answers by HTTP"),
        ([21, 3, 3, 0, 2, 2, 80], "answers by TLS"),
    ])
    func aPeerOfAnotherProtocolIsNamed(raw: [UInt8], expected: String) throws {
        let peer = try FakeBroker(raw: raw)
        defer { peer.stop() }
        do {
            _ = try connect(peer)
            Issue.record("connected")
        } catch {
            #expect(error.description.contains(expected), "\(error)")
        }
    }

    @Test func anAnswerToAnotherRequestBreaksTheConnection() throws {
        let broker = try FakeBroker { header, _ in
            if header.requestAPIKey == APIKey.apiVersions.rawValue {
                return FakeBroker.versions([(.metadata, 0...13)], to: header)
            }
            var wrong = header
            wrong.correlationID += 1
            return FakeBroker.encode(MetadataResponse(), to: wrong)
        }
        defer { broker.stop() }
        let connection = try connect(broker)
        #expect(throws: ClientError.self) {
            try connection.call(MetadataRequest(), deadline: .after(milliseconds: 10_000))
        }
        #expect(connection.isBroken)
    }

    @Test func aRequestThatTheBrokersVersionCannotCarryIsRefusedHere() throws {
        let broker = try FakeBroker { header, _ in FakeBroker.versions([(.findCoordinator, 0...2)], to: header) }
        defer { broker.stop() }
        var request = FindCoordinatorRequest()
        request.coordinatorKeys = ["g"]
        do throws(ClientError) {
            _ = try connect(broker).call(request, deadline: .after(milliseconds: 10_000))
            Issue.record("sent")
        } catch {
            #expect(error.code == .unsupportedVersion)
        }
    }

    @Test func nobodyListeningIsToldWithTheAddress() throws {
        let broker = try FakeBroker { _, _ in nil }
        broker.stop()
        do throws(ClientError) {
            _ = try connect(broker)
            Issue.record("connected")
        } catch {
            #expect(error.description == "cannot reach \(broker.address): Connection refused")
        }
    }

    @Test func aSilentBrokerIsGivenUpAtTheDeadline() throws {
        let broker = try FakeBroker { _, _ in [] }
        defer { broker.stop() }
        do throws(ClientError) {
            _ = try BrokerConnection(
                to: broker.address, options: Fake.options(), deadline: .after(milliseconds: 50))
            Issue.record("connected")
        } catch {
            #expect(error == .timedOut("\(broker.address) is silent"))
        }
    }

    @Test func aWaitThatIsCancelledEnds() throws {
        let broker = try FakeBroker { _, _ in [] }
        defer { broker.stop() }
        var options = Fake.options()
        options.isCancelled = { true }
        #expect(throws: ClientError.cancelled) {
            try BrokerConnection(to: broker.address, options: options, deadline: .after(milliseconds: 10_000))
        }
    }
}

@Suite struct BrokerAddressTests {
    @Test(arguments: [
        ("localhost", "localhost", 9092), ("a:1", "a", 1), ("[::1]", "::1", 9092),
        ("[fe80::1%eth0]:5", "fe80::1%eth0", 5),
    ])
    func addressesAreRead(text: String, host: String, port: Int) {
        #expect(BrokerAddress(text) == BrokerAddress(host: host, port: UInt16(port)))
    }

    @Test(arguments: ["", ":1", "a:", "a:0", "a:70000", "::1", "[::1", "a b"])
    func othersAreRefused(text: String) { #expect(BrokerAddress(text) == nil) }

    @Test func listsAreSeparatedByCommas() {
        #expect(BrokerAddress.list("a:1, [::1]:2")?.map(\.description) == ["a:1", "[::1]:2"])
        #expect(BrokerAddress.list("") == nil && BrokerAddress.list("a,,:") == nil)
    }
}
