import Foundation
import KafkaModel
import Security
import Testing

/// The authorizer against Kafka's own: what `StandardAuthorizer` of Apache Kafka 4.3.1 decided, over random ACLs.
/// The text file beside this one has its answers, a line each, as a program that loads its class from the distribution
/// printed them:
///
/// `S` super users, `allow.everyone.if.no.acl.found`; begins a set. `A` resource, name, pattern, principal, host,
/// operation, permission of an ACL, by the numbers of the wire. `R` principal, host, operation, resource, name, and whether
/// it was allowed. `W` the same for "on any resource of the type". Resources whose names begin with a star are left out:
/// there `StandardAuthorizer` does not find the ACLs on `*`, and we do.
@Suite struct KafkaDecisionTests {
    @Test func everyDecisionIsKafkas() throws {
        var decided = 0
        var bindings: [AclBinding] = []
        var setting: [Substring] = []
        var rules: AccessRules?
        func compiled() throws -> AccessRules {
            if let rules { return rules }
            let made = AccessRules(
                bindings, superUsers: try AccessRules.superUsers(parsing: String(setting[1])),
                allowsWithoutAcl: setting[2] == "true")
            rules = made
            return made
        }
        func subject(_ fields: [Substring]) throws -> AccessSubject {
            AccessSubject(
                try #require(Principal(parsing: String(fields[1]))),
                address: try #require(NetworkAddress(String(fields[2]))))
        }
        func number<Value: RawRepresentable<Int8>>(_ field: Substring) throws -> Value {
            try #require(Int8(field).flatMap(Value.init))
        }
        for line in try Self.decisions().split(separator: "\n") {
            let fields = line.split(separator: " ")
            switch fields[0] {
            case "S": (setting, bindings, rules) = (fields, [], nil)
            case "A":
                bindings.append(
                    AclBinding(
                        ResourcePattern(try number(fields[1]), ExactString(String(fields[2])), try number(fields[3])),
                        principal: ExactString(String(fields[4])), host: ExactString(String(fields[5])),
                        try number(fields[6]), try number(fields[7])))
            case "R":
                let request = AccessRequest(
                    try number(fields[3]), try number(fields[4]), ExactString(String(fields[5])))
                let found = try compiled().decide(request, for: subject(fields))
                #expect(found.isAllowed == (fields[6] == "1"), "\(line) of \(bindings)")
                decided += 1
            default:
                let found = try compiled().decideOnAny(
                    try number(fields[3]), try number(fields[4]), for: subject(fields))
                #expect(found == (fields[5] == "1"), "\(line) of \(bindings)")
                decided += 1
            }
        }
        #expect(decided == 2_258)
    }

    private static func decisions() throws -> String {
        let folder = URL(filePath: #filePath).deletingLastPathComponent()
        return try String(contentsOf: folder.appending(path: "KafkaDecisions.txt"), encoding: .utf8)
    }
}
