import ByteBuffers
import KafkaWire
import Testing

@Suite struct HeaderTests {
    private func header(_ key: APIKey, _ version: Int16, client: String? = "client", tags: [UnknownTaggedField] = [])
        -> RequestHeader
    {
        var header = RequestHeader()
        header.requestAPIKey = key.rawValue
        header.requestAPIVersion = version
        header.correlationID = 7
        header.clientID = client
        header.unknownTaggedFields = tags
        return header
    }

    private func bytes(_ header: RequestHeader) -> [UInt8] {
        var writer = ByteWriter()
        header.encode(to: &writer)
        return writer.array
    }

    @Test func flexibleRequestHasHeaderVersionTwo() {
        #expect(RequestHeader.version(apiKey: 0, apiVersion: 8) == 1)
        #expect(RequestHeader.version(apiKey: 0, apiVersion: 9) == 2)
        #expect(RequestHeader.version(apiKey: 18, apiVersion: 2) == 1)
        #expect(RequestHeader.version(apiKey: 18, apiVersion: 3) == 2)
        #expect(RequestHeader.version(apiKey: 47, apiVersion: 0) == 1)
        #expect(RequestHeader.version(apiKey: 75, apiVersion: 0) == 2)
        #expect(RequestHeader.version(apiKey: 9999, apiVersion: 0) == 1)
    }

    @Test func apiVersionsIsAlwaysAnsweredWithHeaderVersionZero() {
        for version: Int16 in 0...5 { #expect(ResponseHeader.version(apiKey: .apiVersions, apiVersion: version) == 0) }
        #expect(ResponseHeader.version(apiKey: .produce, apiVersion: 8) == 0)
        #expect(ResponseHeader.version(apiKey: .produce, apiVersion: 9) == 1)
        #expect(ResponseHeader.version(apiKey: .saslHandshake, apiVersion: 1) == 0)
    }

    @Test func clientIDKeepsItsClassicLengthInHeaderVersionTwo() {
        #expect(
            bytes(header(.produce, 9, client: "ab"))
                == [0, 0, 0, 9, 0, 0, 0, 7, 0, 2, UInt8(ascii: "a"), UInt8(ascii: "b"), 0])
        #expect(bytes(header(.produce, 9, client: nil)) == [0, 0, 0, 9, 0, 0, 0, 7, 0xff, 0xff, 0])
        #expect(bytes(header(.produce, 8, client: nil)) == [0, 0, 0, 8, 0, 0, 0, 7, 0xff, 0xff])
    }

    @Test func headerReadInPlaceAgreesWithTheDecodedOne() throws {
        let tags = [UnknownTaggedField(tag: 3, bytes: [1, 2])]
        let headers = [
            header(.produce, 8), header(.produce, 9), header(.fetch, 12, client: nil, tags: tags),
            header(.apiVersions, 0), header(.apiVersions, 3, client: ""),
        ]
        for expected in headers {
            try (bytes(expected) + [42]).withUnsafeBytes { raw in
                var reader = ByteReader(raw)
                let decoded = try RequestHeader(from: &reader)
                #expect(decoded == expected)
                #expect(reader.remaining == 1)
                var again = ByteReader(raw)
                let view = try RequestHeaderView(from: &again)
                #expect(again.position == reader.position)
                #expect(view.apiKey == expected.requestAPIKey)
                #expect(view.apiVersion == expected.requestAPIVersion)
                #expect(view.correlationID == expected.correlationID)
                #expect(view.clientID.map { String(decoding: $0, as: UTF8.self) } == expected.clientID)
            }
        }
    }

    @Test func everyPrefixOfAHeaderIsRefused() {
        let whole = bytes(header(.fetch, 12, tags: [UnknownTaggedField(tag: 3, bytes: [1, 2])]))
        for count in 0..<whole.count {
            #expect(throws: DecodeError.self) {
                try whole[..<count].withUnsafeBytes { raw in
                    var reader = ByteReader(raw)
                    _ = try RequestHeaderView(from: &reader)
                }
            }
        }
    }

    @Test func produceAdvertisesVersionsThatItDoesNotDecode() {
        #expect(APIKey.produce.advertisedVersions == 0...13)
        #expect(APIKey.produce.codecVersions == 3...13)
        #expect(APIKey.joinGroup.advertisedVersions == 0...9)
        #expect(APIKey.vote.advertisedVersions == nil)
    }

    @Test func everyRequestAgreesWithTheTableOfVersions() {
        for (file, request, response) in MessageCase.apis {
            #expect(request.apiKey.codecVersions == request.versions, "\(file)")
            #expect(request.apiKey.flexibleFrom == request.flexibleFrom, "\(file)")
            #expect(response.apiKey == request.apiKey)
            #expect(response.versions == request.versions)
            #expect(file.hasSuffix("_\(request.apiKey.name)"))
        }
        let withCodec = APIKey.allCases.filter { $0.codecVersions != nil }
        #expect(withCodec.count == MessageCase.apis.count)
    }
}
