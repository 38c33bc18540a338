import Security
import Testing

/// The authorizer against Kafka's own: what `StandardAuthorizer` of Apache Kafka 4.3.1 decided, over random ACLs.
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
                allowsWithoutAcl: setting[2] == "true", revision: 1)
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
        for line in kafkaDecisions.split(separator: "\n") {
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
}

private let kafkaDecisions = """
    S User:v false
    A 2 ab 3 User:u * 11 2
    A 2 a 4 Group:g * 2 3
    A 4 kafka-cluster 3 User:u 10.0.0.2 7 3
    A 2 éa 3 User:v 0:0:0:0:0:0:0:1 8 3
    A 3 a 4 User:v * 8 3
    A 2 a 3 User:u 0:0:0:0:0:0:0:1 3 3
    R User:u 10.0.0.1 8 2 a 0
    R User:u 10.0.0.1 4 2 abd 0
    R User:v 10.0.0.2 7 4 kafka-cluster 1
    R User:u 10.0.0.2 5 3 abcd 0
    W Group:u 0:0:0:0:0:0:0:1 4 3 0
    R User:u 10.0.0.1 3 2 éa 0
    R Group:g 0:0:0:0:0:0:0:1 5 3 éa 0
    R Token:u 10.0.0.2 8 2 éa 0
    R Token:g 0:0:0:0:0:0:0:1 8 2 ab 0
    W User:u 10.0.0.1 3 2 0
    R User:u 10.0.0.1 10 2 b.a 0
    R User:u 10.0.0.2 10 3 abc 0
    R User:u 10.0.0.1 5 4 kafka-cluster 0
    W Token:u 10.0.0.1 8 2 0
    R User:g 10.0.0.2 4 3 é 0
    R User:u 10.0.0.2 5 4 kafka-cluster 0
    R User:v 0:0:0:0:0:0:0:1 8 2 c 1
    R User:u 10.0.0.2 8 4 kafka-cluster 1
    W User:u 10.0.0.2 3 3 0
    R User:v 0:0:0:0:0:0:0:1 3 2 b 1
    R User:g 0:0:0:0:0:0:0:1 5 2 éa 0
    R Group:g 0:0:0:0:0:0:0:1 4 2 * 0
    R User:u 10.0.0.1 10 2 abd 0
    W User:u 0:0:0:0:0:0:0:1 8 2 0
    R User:v 10.0.0.2 8 3 * 1
    R User:g 10.0.0.1 3 3 b.a 0
    R User:u 10.0.0.1 5 3 abc 0
    R Group:u 10.0.0.1 12 4 kafka-cluster 0
    W Token:g 10.0.0.2 4 2 0
    R User:u 10.0.0.2 8 2 abcd 0
    R Token:v 10.0.0.1 8 2 éa 0
    R Group:g 10.0.0.2 4 3 abc 0
    R User:v 10.0.0.2 4 2 b.a 1
    W Group:v 10.0.0.1 4 2 0
    R User:u 10.0.0.1 3 2 abc 0
    R User:u 10.0.0.2 8 2 é 0
    R Group:u 0:0:0:0:0:0:0:1 3 3 é 0
    R User:g 10.0.0.1 4 2 a 0
    W User:u 10.0.0.1 4 2 0
    R User:u 10.0.0.2 12 4 kafka-cluster 0
    R User:u 10.0.0.2 8 2 é 0
    R User:u 0:0:0:0:0:0:0:1 5 4 kafka-cluster 0
    R User:g 10.0.0.2 5 3 abd 0
    W User:v 0:0:0:0:0:0:0:1 8 3 1
    R Group:u 0:0:0:0:0:0:0:1 8 4 kafka-cluster 0
    R Token:v 10.0.0.2 3 2 abcd 0
    R User:u 10.0.0.2 4 2 b.a 0
    W Token:v 10.0.0.1 8 3 0
    R Token:g 0:0:0:0:0:0:0:1 12 4 kafka-cluster 0
    R User:u 10.0.0.2 3 2 abcd 0
    R Group:v 0:0:0:0:0:0:0:1 8 4 kafka-cluster 0
    R User:v 10.0.0.2 8 2 b 1
    W User:v 0:0:0:0:0:0:0:1 8 3 1
    R User:u 0:0:0:0:0:0:0:1 10 2 é 0
    R Group:v 10.0.0.1 7 4 kafka-cluster 0
    R User:g 0:0:0:0:0:0:0:1 5 3 b 0
    R Group:v 0:0:0:0:0:0:0:1 3 2 éa 0
    W Group:u 10.0.0.2 4 2 0
    S User:root false
    A 2 *x 4 User:u * 7 2
    A 4 kafka-cluster 3 User:* * 12 3
    A 4 kafka-cluster 3 User:u 0:0:0:0:0:0:0:1 2 3
    A 2 abc 4 Group:g * 2 3
    A 2 *x 4 User:* * 7 3
    A 3 * 3 Token:u 0:0:0:0:0:0:0:1 11 3
    A 2 ab 4 User:* * 2 3
    A 4 kafka-cluster 3 User:u 0:0:0:0:0:0:0:1 12 2
    A 2 éa 4 User:u * 3 3
    A 3 é 4 User:* * 6 2
    A 2 é 4 Group:g * 5 2
    A 3 abc 3 User:v * 10 3
    A 2 a 4 User:u * 11 3
    A 2 ab 3 User:* * 10 3
    R User:u 10.0.0.2 8 2 abc 1
    R Token:u 10.0.0.1 5 3 a 0
    R User:u 0:0:0:0:0:0:0:1 10 2 c 0
    R User:u 10.0.0.1 3 2 b 0
    W User:u 10.0.0.1 8 3 0
    R Token:u 0:0:0:0:0:0:0:1 8 4 kafka-cluster 0
    R User:v 10.0.0.2 10 2 abcd 1
    W User:v 10.0.0.1 4 2 1
    R User:u 10.0.0.1 7 4 kafka-cluster 0
    R User:v 10.0.0.2 12 4 kafka-cluster 1
    R Group:g 10.0.0.2 10 2 abc 1
    R Token:g 10.0.0.2 3 2 * 0
    W User:g 10.0.0.1 3 3 0
    R User:v 0:0:0:0:0:0:0:1 4 2 a 0
    R User:g 10.0.0.1 8 2 éa 0
    R User:u 10.0.0.2 12 4 kafka-cluster 1
    W User:v 10.0.0.1 8 3 0
    R User:g 10.0.0.2 5 2 abd 1
    R User:u 10.0.0.1 8 2 abc 1
    R User:v 0:0:0:0:0:0:0:1 12 4 kafka-cluster 1
    R User:g 10.0.0.2 5 2 b 0
    W User:v 0:0:0:0:0:0:0:1 8 2 1
    R User:v 0:0:0:0:0:0:0:1 10 2 é 0
    R Token:u 10.0.0.1 7 4 kafka-cluster 0
    R Token:v 10.0.0.2 5 4 kafka-cluster 0
    R User:u 0:0:0:0:0:0:0:1 5 4 kafka-cluster 1
    W User:u 10.0.0.1 8 2 1
    R Group:v 0:0:0:0:0:0:0:1 5 2 abcd 1
    R User:g 10.0.0.1 5 2 * 0
    R User:v 10.0.0.1 3 3 abcd 0
    R User:v 10.0.0.2 8 2 * 0
    W Group:u 0:0:0:0:0:0:0:1 4 3 0
    R Group:v 10.0.0.1 8 4 kafka-cluster 0
    R Token:g 10.0.0.1 4 2 éa 0
    R Token:u 0:0:0:0:0:0:0:1 10 3 é 1
    R User:u 10.0.0.1 5 2 abd 1
    W User:u 10.0.0.2 8 2 1
    R Token:v 10.0.0.1 3 2 * 0
    R User:u 10.0.0.1 3 2 * 0
    R User:u 10.0.0.2 5 4 kafka-cluster 0
    R Token:u 10.0.0.1 3 2 b 0
    W User:u 10.0.0.2 8 2 1
    R User:u 0:0:0:0:0:0:0:1 5 3 abcd 0
    R User:g 10.0.0.2 5 2 b 0
    R User:u 0:0:0:0:0:0:0:1 5 4 kafka-cluster 1
    R Token:g 0:0:0:0:0:0:0:1 8 2 c 0
    W User:v 10.0.0.2 8 3 0
    R User:u 10.0.0.2 8 2 a 0
    R Group:u 0:0:0:0:0:0:0:1 8 2 ab 1
    R User:g 10.0.0.2 5 3 c 0
    R User:u 10.0.0.1 7 4 kafka-cluster 0
    W User:v 0:0:0:0:0:0:0:1 3 2 1
    R User:v 10.0.0.2 7 4 kafka-cluster 0
    R User:g 0:0:0:0:0:0:0:1 8 2 é 0
    R User:u 10.0.0.1 8 2 a 0
    R User:g 10.0.0.2 8 4 kafka-cluster 0
    W Token:g 0:0:0:0:0:0:0:1 4 3 0
    S User:root false
    A 4 kafka-cluster 3 User:u * 2 3
    R Token:g 10.0.0.1 10 2 b.a 0
    R User:u 10.0.0.1 8 2 abcd 0
    R User:v 10.0.0.2 3 2 abcd 0
    R User:u 0:0:0:0:0:0:0:1 5 3 abc 0
    W User:u 0:0:0:0:0:0:0:1 4 2 0
    R User:g 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    R User:g 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    R Token:v 10.0.0.1 7 4 kafka-cluster 0
    R Group:v 10.0.0.2 8 2 * 0
    W User:u 0:0:0:0:0:0:0:1 8 2 0
    R Token:u 0:0:0:0:0:0:0:1 10 2 abd 0
    R Group:u 10.0.0.1 4 2 abc 0
    R User:g 10.0.0.2 3 2 abcd 0
    W User:v 0:0:0:0:0:0:0:1 4 2 0
    R Token:v 0:0:0:0:0:0:0:1 8 4 kafka-cluster 0
    R User:v 10.0.0.2 8 3 c 0
    R Group:g 10.0.0.1 7 4 kafka-cluster 0
    R Group:v 10.0.0.1 3 3 * 0
    W Group:u 10.0.0.2 8 3 0
    R Group:g 10.0.0.2 8 2 a 0
    R Group:v 10.0.0.1 3 2 c 0
    R Group:u 0:0:0:0:0:0:0:1 3 3 ab 0
    R Token:u 10.0.0.2 5 4 kafka-cluster 0
    W User:v 0:0:0:0:0:0:0:1 3 2 0
    R Token:u 10.0.0.2 10 2 a 0
    R Token:u 10.0.0.2 3 3 é 0
    R Token:u 10.0.0.2 8 3 * 0
    W Group:v 10.0.0.1 3 2 0
    R Token:u 0:0:0:0:0:0:0:1 8 4 kafka-cluster 0
    R Token:u 0:0:0:0:0:0:0:1 3 2 abd 0
    R Token:u 10.0.0.1 8 2 b 0
    R Token:u 10.0.0.2 8 2 abd 0
    W Group:v 0:0:0:0:0:0:0:1 4 2 0
    R User:u 10.0.0.1 8 4 kafka-cluster 1
    R Group:u 0:0:0:0:0:0:0:1 3 2 abcd 0
    R User:g 10.0.0.1 3 2 * 0
    R User:u 10.0.0.1 3 2 abc 0
    W User:u 10.0.0.1 4 2 0
    R User:g 10.0.0.1 4 2 é 0
    R Token:v 0:0:0:0:0:0:0:1 3 2 c 0
    R User:u 10.0.0.1 4 2 abd 0
    W User:u 0:0:0:0:0:0:0:1 3 2 0
    R Group:u 10.0.0.2 3 3 abcd 0
    R User:u 10.0.0.2 8 2 abd 0
    R User:u 10.0.0.2 12 4 kafka-cluster 1
    W Group:g 0:0:0:0:0:0:0:1 4 2 0
    R User:u 0:0:0:0:0:0:0:1 4 2 é 0
    R User:v 10.0.0.2 3 2 ab 0
    R Token:g 10.0.0.2 7 4 kafka-cluster 0
    R Token:g 0:0:0:0:0:0:0:1 3 2 abd 0
    W Token:u 10.0.0.1 8 2 0
    R User:g 0:0:0:0:0:0:0:1 5 2 abc 0
    R Group:g 10.0.0.2 8 2 a 0
    R User:u 0:0:0:0:0:0:0:1 10 2 abcd 0
    W User:g 10.0.0.1 3 2 0
    S User:root false
    A 4 kafka-cluster 3 User:v 10.0.0.2 12 3
    A 2 * 3 User:u * 3 3
    A 2 a 4 User:* 10.0.0.1 5 2
    A 2 * 4 User:* * 8 2
    A 2 é 4 Token:u 0:0:0:0:0:0:0:1 5 3
    A 2 b 3 Token:u 10.0.0.2 6 3
    A 2 *x 3 User:v 10.0.0.1 2 2
    A 2 b 3 User:v * 4 2
    A 2 é 4 Group:g * 6 3
    A 4 kafka-cluster 3 User:u 0:0:0:0:0:0:0:1 2 3
    A 2 * 4 User:v * 10 3
    A 3 abc 3 User:u 10.0.0.1 8 3
    A 2 a 3 User:u 10.0.0.1 4 3
    A 2 a 3 User:* * 8 3
    R User:v 10.0.0.1 4 2 * 0
    R User:u 0:0:0:0:0:0:0:1 3 3 a 0
    R User:u 0:0:0:0:0:0:0:1 8 2 c 1
    R User:u 10.0.0.1 5 3 * 0
    W User:u 0:0:0:0:0:0:0:1 8 2 1
    R Token:u 10.0.0.2 5 3 abd 0
    R Group:u 10.0.0.2 7 4 kafka-cluster 0
    W User:g 10.0.0.2 4 3 0
    R User:u 10.0.0.2 3 2 a 1
    R Token:v 0:0:0:0:0:0:0:1 3 2 b 0
    R Group:v 10.0.0.2 4 3 b 0
    R Token:g 10.0.0.1 8 4 kafka-cluster 0
    W User:g 10.0.0.1 4 3 0
    R Group:u 10.0.0.2 7 4 kafka-cluster 0
    R User:v 0:0:0:0:0:0:0:1 8 2 * 0
    R User:g 0:0:0:0:0:0:0:1 8 2 c 0
    R Token:u 0:0:0:0:0:0:0:1 4 3 éa 0
    W User:g 10.0.0.2 8 3 0
    R Token:u 10.0.0.1 5 4 kafka-cluster 0
    R User:v 0:0:0:0:0:0:0:1 3 2 abd 0
    R Token:v 10.0.0.2 4 3 c 0
    W Group:v 10.0.0.2 3 3 0
    R User:u 10.0.0.1 7 4 kafka-cluster 0
    R User:v 0:0:0:0:0:0:0:1 12 4 kafka-cluster 0
    R User:v 10.0.0.1 7 4 kafka-cluster 0
    W User:g 0:0:0:0:0:0:0:1 8 2 1
    R Group:u 0:0:0:0:0:0:0:1 8 3 é 0
    R User:u 10.0.0.2 10 3 abcd 0
    R User:u 10.0.0.2 10 2 ab 0
    R Token:u 10.0.0.1 4 2 a 0
    W Group:u 10.0.0.2 4 2 0
    R Token:g 10.0.0.1 5 3 * 0
    R User:g 10.0.0.1 10 2 b.a 0
    R User:u 10.0.0.2 3 2 abc 1
    R User:v 10.0.0.1 8 2 b 0
    W User:u 10.0.0.1 4 3 0
    R Group:v 10.0.0.2 7 4 kafka-cluster 0
    R Token:u 0:0:0:0:0:0:0:1 8 2 éa 0
    R Group:g 0:0:0:0:0:0:0:1 10 2 c 0
    W User:u 10.0.0.2 4 2 0
    R User:u 10.0.0.2 8 2 é 1
    R Token:u 10.0.0.2 8 2 b 1
    R User:u 0:0:0:0:0:0:0:1 3 2 * 1
    R Group:u 10.0.0.1 3 3 * 0
    W User:u 0:0:0:0:0:0:0:1 8 3 0
    R User:u 10.0.0.1 8 2 * 0
    R Group:u 10.0.0.1 3 3 abd 0
    R Token:u 0:0:0:0:0:0:0:1 5 2 ab 0
    R Token:v 10.0.0.2 5 2 b.a 0
    W User:u 0:0:0:0:0:0:0:1 3 2 1
    R Group:u 0:0:0:0:0:0:0:1 5 2 é 0
    R User:u 10.0.0.1 12 4 kafka-cluster 0
    R Group:u 0:0:0:0:0:0:0:1 5 2 abc 0
    R Group:v 0:0:0:0:0:0:0:1 8 2 c 0
    W User:g 0:0:0:0:0:0:0:1 3 3 0
    S User:v false
    A 3 b.a 4 User:u 10.0.0.2 4 3
    R User:g 10.0.0.2 3 2 é 0
    R Group:u 0:0:0:0:0:0:0:1 5 2 a 0
    R Group:u 10.0.0.2 4 2 é 0
    R User:v 10.0.0.2 4 2 ab 1
    W User:v 10.0.0.2 8 3 1
    R User:v 10.0.0.1 10 3 b 1
    R Group:u 10.0.0.2 3 2 b 0
    R Group:u 0:0:0:0:0:0:0:1 8 2 abd 0
    R Token:v 10.0.0.1 8 2 abcd 0
    W Group:g 0:0:0:0:0:0:0:1 3 3 0
    R User:g 10.0.0.2 8 2 éa 0
    R User:g 10.0.0.2 3 3 a 0
    W Token:v 0:0:0:0:0:0:0:1 4 3 0
    R Group:g 10.0.0.2 8 4 kafka-cluster 0
    R User:u 10.0.0.1 3 3 a 0
    R User:g 10.0.0.2 5 3 b 0
    R User:g 10.0.0.1 5 3 abd 0
    W User:u 10.0.0.2 3 3 0
    R User:u 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    R Group:u 0:0:0:0:0:0:0:1 3 2 ab 0
    R Token:u 10.0.0.1 5 2 abcd 0
    R Token:v 0:0:0:0:0:0:0:1 5 4 kafka-cluster 0
    W User:g 10.0.0.2 3 3 0
    R Group:v 10.0.0.2 7 4 kafka-cluster 0
    R Token:u 10.0.0.2 10 2 b.a 0
    R User:u 10.0.0.1 4 2 é 0
    R User:v 10.0.0.2 3 2 a 1
    W Group:g 0:0:0:0:0:0:0:1 4 3 0
    R User:u 10.0.0.2 4 2 éa 0
    R User:u 10.0.0.1 10 3 abd 0
    R User:u 0:0:0:0:0:0:0:1 10 2 ab 0
    R Group:g 10.0.0.1 10 2 ab 0
    W Group:v 0:0:0:0:0:0:0:1 3 3 0
    R User:u 10.0.0.1 8 2 b.a 0
    R User:u 10.0.0.1 10 3 a 0
    R User:g 0:0:0:0:0:0:0:1 10 2 abd 0
    W User:u 10.0.0.2 4 3 1
    R User:v 0:0:0:0:0:0:0:1 8 2 * 1
    R Group:v 10.0.0.2 3 2 éa 0
    R User:u 10.0.0.2 7 4 kafka-cluster 0
    R User:g 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    W Group:g 10.0.0.2 8 3 0
    R User:u 0:0:0:0:0:0:0:1 10 2 éa 0
    R User:v 10.0.0.1 10 3 abcd 1
    R User:g 10.0.0.1 3 3 a 0
    R User:g 10.0.0.2 8 4 kafka-cluster 0
    W User:v 10.0.0.2 8 2 1
    R Group:g 10.0.0.2 5 2 * 0
    R User:g 10.0.0.2 8 3 c 0
    R User:u 10.0.0.1 3 2 b.a 0
    W Group:u 10.0.0.2 4 3 0
    R Group:g 10.0.0.2 8 2 c 0
    R User:u 10.0.0.1 10 2 * 0
    R Group:g 10.0.0.1 3 2 c 0
    R Token:u 0:0:0:0:0:0:0:1 10 3 abd 0
    W User:u 0:0:0:0:0:0:0:1 8 2 0
    S User:root false
    A 2 a 4 Group:g * 3 3
    A 3 * 4 User:v * 2 3
    A 4 kafka-cluster 3 User:u * 12 2
    A 3 * 3 User:v 10.0.0.2 7 3
    A 2 * 4 User:u * 8 2
    A 2 éa 4 User:u 10.0.0.2 6 3
    A 2 b 4 Token:u 10.0.0.2 11 3
    A 2 *x 3 User:u * 5 2
    A 2 a 3 User:v 10.0.0.2 5 3
    R User:u 0:0:0:0:0:0:0:1 12 4 kafka-cluster 0
    R User:u 10.0.0.1 8 2 b.a 0
    R User:u 10.0.0.1 3 2 ab 0
    R Token:v 0:0:0:0:0:0:0:1 4 2 c 0
    W Group:g 10.0.0.1 4 3 0
    R User:u 0:0:0:0:0:0:0:1 12 4 kafka-cluster 0
    R User:v 10.0.0.1 8 4 kafka-cluster 0
    R Token:g 10.0.0.2 3 3 abd 0
    R User:u 10.0.0.1 8 2 é 0
    W User:g 0:0:0:0:0:0:0:1 3 2 0
    R Token:u 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    R User:u 0:0:0:0:0:0:0:1 5 2 b 0
    R Group:u 0:0:0:0:0:0:0:1 10 3 c 0
    W User:u 10.0.0.1 8 3 0
    R User:u 10.0.0.2 8 4 kafka-cluster 0
    R User:u 10.0.0.1 8 2 b.a 0
    R User:u 0:0:0:0:0:0:0:1 8 2 ab 0
    R User:g 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    W Token:v 0:0:0:0:0:0:0:1 8 2 0
    R User:u 10.0.0.2 8 2 a 0
    R User:u 0:0:0:0:0:0:0:1 3 3 abcd 0
    R User:v 10.0.0.2 10 2 ab 0
    R Token:v 0:0:0:0:0:0:0:1 8 2 ab 0
    W Group:u 10.0.0.1 8 2 0
    R Group:u 0:0:0:0:0:0:0:1 8 3 ab 0
    R User:u 10.0.0.1 4 3 éa 0
    R Token:v 10.0.0.2 8 2 é 0
    R User:v 0:0:0:0:0:0:0:1 5 3 a 0
    W User:u 0:0:0:0:0:0:0:1 3 3 0
    R User:u 10.0.0.1 7 4 kafka-cluster 0
    R User:v 10.0.0.2 3 2 b.a 0
    R Token:g 0:0:0:0:0:0:0:1 3 2 c 0
    R User:u 10.0.0.1 8 2 c 0
    W User:u 10.0.0.2 3 2 0
    R User:g 10.0.0.2 8 2 c 0
    R User:u 10.0.0.1 10 2 abcd 0
    R Token:g 10.0.0.2 4 2 é 0
    W Group:g 10.0.0.2 3 3 0
    R User:u 10.0.0.1 3 2 b 0
    R Group:g 10.0.0.2 3 2 b.a 0
    R User:u 10.0.0.2 5 2 ab 0
    R User:g 10.0.0.2 5 3 b 0
    W Token:g 0:0:0:0:0:0:0:1 4 2 0
    R User:u 10.0.0.1 4 3 ab 0
    R User:u 10.0.0.1 10 2 abd 0
    R User:v 10.0.0.2 3 2 b 0
    R User:u 10.0.0.2 8 3 abd 0
    W User:u 10.0.0.2 4 2 0
    R Group:g 10.0.0.2 8 2 éa 0
    R User:u 10.0.0.1 8 4 kafka-cluster 0
    R Group:v 0:0:0:0:0:0:0:1 10 2 é 0
    W User:u 10.0.0.2 8 2 0
    R User:v 10.0.0.2 12 4 kafka-cluster 0
    R Group:v 0:0:0:0:0:0:0:1 8 2 abd 0
    R User:u 10.0.0.2 5 3 abd 0
    R User:u 0:0:0:0:0:0:0:1 5 2 b.a 0
    W Token:g 0:0:0:0:0:0:0:1 8 3 0
    S User:root false
    A 2 abd 3 Group:g * 3 3
    A 2 a 3 User:* 10.0.0.1 4 3
    A 3 abc 3 User:* * 8 3
    A 3 * 3 User:u * 3 3
    A 3 * 4 User:u * 11 3
    A 4 kafka-cluster 3 User:u 10.0.0.1 2 3
    A 2 a 4 User:* 0:0:0:0:0:0:0:1 6 3
    A 3 *x 3 Group:g * 4 2
    A 4 kafka-cluster 3 User:* * 2 3
    A 2 a 4 User:* * 5 2
    A 4 kafka-cluster 3 User:u * 2 3
    R User:u 10.0.0.1 4 2 ab 0
    R Group:u 0:0:0:0:0:0:0:1 3 3 abcd 0
    R User:u 10.0.0.2 8 2 a 0
    W User:u 10.0.0.1 4 2 1
    R User:g 10.0.0.2 3 3 b 0
    R User:g 0:0:0:0:0:0:0:1 4 2 c 0
    R Group:u 10.0.0.1 7 4 kafka-cluster 1
    R User:g 10.0.0.1 8 3 éa 0
    W User:v 10.0.0.1 4 3 0
    R Group:u 10.0.0.1 5 2 b 0
    R User:v 10.0.0.2 8 2 a 0
    R User:u 0:0:0:0:0:0:0:1 3 2 éa 0
    R Token:u 10.0.0.2 8 2 éa 0
    W User:u 10.0.0.2 8 3 1
    R User:g 10.0.0.2 7 4 kafka-cluster 1
    R Token:g 10.0.0.1 8 3 abd 0
    R Group:g 10.0.0.2 8 3 a 0
    R Group:v 10.0.0.1 4 2 abc 0
    W Token:u 10.0.0.1 4 2 1
    R Token:u 10.0.0.2 10 3 * 0
    R User:v 0:0:0:0:0:0:0:1 7 4 kafka-cluster 1
    R Group:u 10.0.0.2 5 4 kafka-cluster 1
    W Group:u 10.0.0.1 4 2 1
    R User:v 0:0:0:0:0:0:0:1 5 2 abd 0
    R User:u 10.0.0.2 3 3 abd 1
    R User:u 0:0:0:0:0:0:0:1 5 3 abcd 0
    R User:v 10.0.0.1 8 4 kafka-cluster 1
    W User:g 10.0.0.2 8 3 1
    R Token:v 10.0.0.2 4 2 * 0
    R User:u 10.0.0.2 10 2 ab 0
    R User:u 0:0:0:0:0:0:0:1 3 2 a 0
    R User:u 10.0.0.2 4 2 éa 0
    W User:v 10.0.0.2 3 3 0
    R User:u 0:0:0:0:0:0:0:1 3 2 a 0
    R Group:u 10.0.0.2 5 2 abcd 0
    R User:v 10.0.0.1 3 2 abcd 0
    R Group:g 0:0:0:0:0:0:0:1 8 2 é 0
    W Group:g 10.0.0.2 8 2 0
    R User:v 0:0:0:0:0:0:0:1 5 2 ab 0
    R User:g 10.0.0.2 5 4 kafka-cluster 1
    R Token:g 10.0.0.2 8 2 b 0
    R Group:g 0:0:0:0:0:0:0:1 3 2 é 0
    W User:u 0:0:0:0:0:0:0:1 4 2 0
    R User:u 10.0.0.2 8 4 kafka-cluster 1
    R Group:u 10.0.0.1 3 2 * 0
    R Group:u 0:0:0:0:0:0:0:1 3 2 ab 0
    R Group:u 10.0.0.2 3 2 b 0
    W User:u 0:0:0:0:0:0:0:1 8 2 0
    R User:v 0:0:0:0:0:0:0:1 5 2 ab 0
    R Token:u 10.0.0.2 4 2 ab 0
    R User:u 10.0.0.1 10 2 * 0
    R Group:u 0:0:0:0:0:0:0:1 3 2 * 0
    W Token:u 10.0.0.1 8 2 0
    R User:u 10.0.0.1 8 4 kafka-cluster 1
    R Group:g 0:0:0:0:0:0:0:1 8 3 b.a 0
    R Group:u 10.0.0.1 3 3 éa 0
    R User:u 10.0.0.1 3 2 abcd 0
    W Token:v 10.0.0.2 8 2 0
    S User:root false
    A 2 a 3 User:* * 8 3
    A 3 ab 3 User:u 0:0:0:0:0:0:0:1 11 3
    A 2 abc 4 Token:u 10.0.0.1 11 3
    A 2 abc 4 Group:g * 10 3
    A 3 * 4 User:* * 10 3
    A 3 a 4 User:u * 8 3
    A 4 kafka-cluster 3 User:* * 5 3
    A 2 abd 3 User:u 10.0.0.1 6 2
    R User:u 10.0.0.1 8 2 c 0
    R User:g 10.0.0.2 10 2 * 0
    R Group:g 0:0:0:0:0:0:0:1 10 2 éa 0
    R User:u 10.0.0.1 5 2 abd 0
    W Token:g 10.0.0.2 3 3 0
    R User:g 10.0.0.2 3 2 b.a 0
    R Group:v 0:0:0:0:0:0:0:1 3 3 é 0
    R User:u 10.0.0.1 5 4 kafka-cluster 1
    R User:v 0:0:0:0:0:0:0:1 8 4 kafka-cluster 0
    W User:g 10.0.0.1 3 2 0
    R User:g 0:0:0:0:0:0:0:1 8 3 * 0
    R Group:u 10.0.0.2 8 3 a 0
    R User:u 10.0.0.1 5 2 abcd 0
    R User:u 10.0.0.1 8 2 abcd 0
    W User:v 0:0:0:0:0:0:0:1 4 2 0
    R User:g 0:0:0:0:0:0:0:1 3 2 é 0
    R Group:v 0:0:0:0:0:0:0:1 8 3 a 0
    R User:g 10.0.0.1 10 2 é 0
    W User:g 10.0.0.2 3 3 0
    R Group:u 10.0.0.1 4 3 éa 0
    R User:g 10.0.0.2 3 3 b.a 0
    R User:u 0:0:0:0:0:0:0:1 3 2 c 0
    R User:u 10.0.0.1 12 4 kafka-cluster 0
    W User:u 10.0.0.1 3 2 0
    R User:v 10.0.0.1 3 2 c 0
    R Group:u 10.0.0.1 5 4 kafka-cluster 1
    R User:u 10.0.0.2 5 2 abcd 0
    R Token:v 10.0.0.1 8 4 kafka-cluster 0
    W Token:g 10.0.0.2 4 3 0
    R User:u 10.0.0.2 4 2 a 0
    R Group:v 10.0.0.1 5 3 éa 0
    R User:u 10.0.0.2 8 2 a 1
    R User:u 10.0.0.1 5 2 abcd 0
    W Token:g 0:0:0:0:0:0:0:1 3 3 0
    R Group:v 10.0.0.2 5 4 kafka-cluster 1
    R Token:g 0:0:0:0:0:0:0:1 5 4 kafka-cluster 1
    R User:v 10.0.0.1 5 2 c 0
    W User:u 0:0:0:0:0:0:0:1 8 2 1
    R Token:u 0:0:0:0:0:0:0:1 8 2 abd 0
    R User:u 10.0.0.1 12 4 kafka-cluster 0
    R Token:u 10.0.0.2 3 2 abd 0
    R User:u 10.0.0.2 5 2 a 0
    W Group:u 10.0.0.2 3 3 0
    R User:u 10.0.0.2 10 2 é 0
    R Token:u 10.0.0.2 4 2 é 0
    R User:v 0:0:0:0:0:0:0:1 4 2 b 0
    R User:v 10.0.0.2 3 2 abcd 0
    W Token:g 0:0:0:0:0:0:0:1 8 2 1
    R Token:g 10.0.0.1 8 2 abd 0
    R Token:v 10.0.0.1 8 2 b.a 0
    R User:g 10.0.0.2 3 2 abc 0
    R User:u 0:0:0:0:0:0:0:1 10 3 b.a 0
    W User:u 10.0.0.1 8 3 1
    R User:g 10.0.0.1 5 2 abc 0
    R User:g 0:0:0:0:0:0:0:1 5 4 kafka-cluster 1
    R User:u 0:0:0:0:0:0:0:1 3 2 abcd 0
    W User:v 10.0.0.1 8 3 0
    S User:root false
    A 4 kafka-cluster 3 User:* 10.0.0.2 12 3
    A 4 kafka-cluster 3 User:* 10.0.0.2 7 3
    A 3 éa 3 Group:g 0:0:0:0:0:0:0:1 10 3
    A 2 é 3 User:u * 2 3
    A 4 kafka-cluster 3 Token:u 0:0:0:0:0:0:0:1 5 3
    A 2 abd 3 User:u 10.0.0.2 5 3
    A 2 abd 4 User:v 10.0.0.1 2 3
    A 4 kafka-cluster 3 User:v * 5 2
    A 2 a 4 Group:g * 3 3
    A 2 ab 4 User:u 10.0.0.2 3 2
    A 3 éa 4 User:u 10.0.0.1 11 2
    A 2 * 3 Token:u 10.0.0.1 10 3
    R User:u 10.0.0.2 8 3 abc 0
    R User:g 10.0.0.2 3 2 a 0
    R Group:u 10.0.0.2 3 2 ab 0
    R User:u 0:0:0:0:0:0:0:1 8 2 éa 0
    W User:u 10.0.0.1 8 3 0
    R Group:u 10.0.0.2 8 4 kafka-cluster 1
    R User:v 10.0.0.1 8 2 abcd 0
    R Group:v 10.0.0.2 10 2 abc 0
    R Token:v 0:0:0:0:0:0:0:1 8 2 abd 0
    W User:u 10.0.0.2 3 2 1
    R Token:u 10.0.0.1 3 2 abc 0
    R Token:u 0:0:0:0:0:0:0:1 5 3 ab 0
    R Group:u 10.0.0.1 8 2 é 0
    R Token:v 10.0.0.1 3 2 b 0
    W Token:g 10.0.0.1 4 2 0
    R Token:g 10.0.0.1 4 2 abc 0
    R Group:u 0:0:0:0:0:0:0:1 3 2 a 0
    R User:u 0:0:0:0:0:0:0:1 10 3 abcd 0
    R Group:u 10.0.0.1 3 2 c 0
    W Token:v 10.0.0.1 4 3 0
    R User:u 10.0.0.2 8 3 c 0
    R Token:v 10.0.0.1 3 2 * 0
    R User:v 10.0.0.2 8 2 c 0
    R User:v 10.0.0.2 8 2 abc 0
    W User:v 10.0.0.2 8 3 0
    R User:v 0:0:0:0:0:0:0:1 8 2 b.a 0
    R User:g 10.0.0.1 10 2 abcd 0
    R Group:v 10.0.0.2 3 3 abd 0
    R User:u 0:0:0:0:0:0:0:1 8 2 é 1
    W Token:v 0:0:0:0:0:0:0:1 8 2 0
    R Token:u 10.0.0.2 5 4 kafka-cluster 0
    R Group:u 0:0:0:0:0:0:0:1 4 2 c 0
    R User:u 0:0:0:0:0:0:0:1 5 2 c 0
    R User:u 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    W Token:u 10.0.0.1 3 2 0
    R User:v 10.0.0.1 5 2 a 0
    R User:u 10.0.0.1 8 4 kafka-cluster 0
    R User:g 10.0.0.2 10 3 b.a 0
    R User:g 0:0:0:0:0:0:0:1 4 2 * 0
    W User:g 0:0:0:0:0:0:0:1 8 3 0
    R Token:u 10.0.0.2 4 2 a 0
    R User:v 10.0.0.2 3 3 ab 0
    R User:u 0:0:0:0:0:0:0:1 3 3 b.a 0
    R User:v 10.0.0.2 4 3 abc 0
    W User:g 10.0.0.2 3 3 0
    R Group:g 0:0:0:0:0:0:0:1 3 2 * 0
    R Token:u 0:0:0:0:0:0:0:1 4 2 é 0
    R Group:v 0:0:0:0:0:0:0:1 12 4 kafka-cluster 0
    R User:v 10.0.0.2 5 4 kafka-cluster 0
    W User:u 10.0.0.1 4 2 1
    R Token:u 10.0.0.1 3 2 é 0
    R User:u 10.0.0.1 5 2 c 0
    R User:g 10.0.0.1 8 2 a 0
    W User:g 10.0.0.2 8 2 0
    R Token:v 0:0:0:0:0:0:0:1 5 2 abc 0
    R Group:g 0:0:0:0:0:0:0:1 3 2 abd 1
    R Group:g 0:0:0:0:0:0:0:1 8 3 b.a 0
    R User:v 10.0.0.1 8 4 kafka-cluster 0
    W Group:v 10.0.0.1 8 2 0
    S User:root false
    A 2 é 4 Token:u * 3 3
    A 2 éa 4 User:u 10.0.0.1 3 3
    A 2 a 3 Group:g * 5 2
    A 2 a 4 User:v * 3 2
    R User:g 10.0.0.2 7 4 kafka-cluster 0
    R User:v 10.0.0.2 7 4 kafka-cluster 0
    R Token:u 10.0.0.2 8 2 b.a 0
    W User:g 0:0:0:0:0:0:0:1 8 3 0
    R Token:u 10.0.0.2 5 2 a 0
    R User:g 0:0:0:0:0:0:0:1 5 2 b 0
    R User:v 10.0.0.1 3 3 éa 0
    R Token:v 10.0.0.2 8 3 * 0
    W User:u 0:0:0:0:0:0:0:1 3 3 0
    R User:u 10.0.0.1 8 3 b 0
    R Token:u 0:0:0:0:0:0:0:1 10 3 * 0
    R User:v 0:0:0:0:0:0:0:1 3 2 c 0
    R User:g 10.0.0.2 7 4 kafka-cluster 0
    W User:u 10.0.0.2 8 2 0
    R Token:v 0:0:0:0:0:0:0:1 8 2 abc 0
    R Token:g 0:0:0:0:0:0:0:1 5 2 éa 0
    R Token:u 10.0.0.2 10 2 ab 0
    R Token:v 10.0.0.2 4 2 a 0
    W Group:u 10.0.0.1 3 2 0
    R Group:u 0:0:0:0:0:0:0:1 3 2 a 0
    R Group:v 10.0.0.1 10 3 éa 0
    R Group:u 10.0.0.1 8 2 é 0
    W User:u 10.0.0.1 3 3 0
    R Group:v 0:0:0:0:0:0:0:1 10 2 abd 0
    R User:u 0:0:0:0:0:0:0:1 3 3 c 0
    R User:g 10.0.0.1 10 2 b 0
    W User:u 10.0.0.1 4 3 0
    R Group:u 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    R Token:g 0:0:0:0:0:0:0:1 3 3 * 0
    R User:g 10.0.0.2 12 4 kafka-cluster 0
    W User:v 10.0.0.1 4 3 0
    R User:g 10.0.0.1 8 2 b.a 0
    R Group:u 10.0.0.1 3 2 é 0
    R User:g 10.0.0.2 7 4 kafka-cluster 0
    R User:v 10.0.0.2 8 2 abc 0
    W Token:u 0:0:0:0:0:0:0:1 3 2 1
    R User:u 0:0:0:0:0:0:0:1 5 4 kafka-cluster 0
    R User:u 10.0.0.2 10 2 é 0
    W User:v 10.0.0.2 4 2 0
    R User:u 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    R User:v 10.0.0.2 5 2 abcd 0
    R User:u 0:0:0:0:0:0:0:1 8 2 é 0
    R User:v 0:0:0:0:0:0:0:1 10 2 abd 0
    W User:g 10.0.0.1 3 3 0
    R User:v 0:0:0:0:0:0:0:1 10 3 a 0
    R Token:u 10.0.0.2 5 4 kafka-cluster 0
    R Token:v 10.0.0.2 8 4 kafka-cluster 0
    R User:g 10.0.0.2 8 3 abcd 0
    W User:u 10.0.0.2 3 3 0
    R Token:g 10.0.0.1 3 2 c 0
    R User:u 10.0.0.1 4 3 abcd 0
    R User:g 10.0.0.1 3 3 ab 0
    R Group:g 10.0.0.1 8 2 abc 0
    W Token:g 10.0.0.1 3 2 0
    S User:root false
    A 2 *x 3 User:* * 8 3
    A 2 b.a 3 User:* * 11 3
    A 2 * 3 Group:g * 3 2
    A 2 * 3 User:* 10.0.0.1 10 2
    A 3 * 4 User:v * 2 2
    A 2 a 4 Group:g * 7 3
    R User:u 10.0.0.2 12 4 kafka-cluster 0
    R User:u 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    R Token:u 10.0.0.1 12 4 kafka-cluster 0
    R Group:u 10.0.0.2 3 2 éa 0
    W User:u 10.0.0.2 3 2 0
    R User:v 0:0:0:0:0:0:0:1 3 2 abcd 0
    R Token:u 0:0:0:0:0:0:0:1 8 2 abd 0
    R Token:u 10.0.0.1 10 2 é 0
    R Group:u 10.0.0.1 3 2 * 0
    W Group:v 10.0.0.1 3 3 0
    R User:v 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    R User:g 0:0:0:0:0:0:0:1 5 4 kafka-cluster 0
    R User:g 0:0:0:0:0:0:0:1 10 2 c 0
    W Group:g 10.0.0.2 8 3 0
    R User:u 10.0.0.1 5 3 abcd 0
    R Token:u 10.0.0.2 3 2 b.a 0
    R User:v 10.0.0.2 3 2 abd 0
    R Group:u 0:0:0:0:0:0:0:1 3 2 ab 0
    W Token:u 0:0:0:0:0:0:0:1 8 2 1
    R Group:g 0:0:0:0:0:0:0:1 8 2 b.a 0
    R User:g 0:0:0:0:0:0:0:1 3 2 a 0
    R User:u 10.0.0.1 3 2 éa 0
    W User:u 10.0.0.2 3 2 0
    R User:g 10.0.0.1 5 4 kafka-cluster 0
    R User:u 10.0.0.1 10 2 a 0
    R Group:g 10.0.0.1 4 3 c 0
    R User:g 10.0.0.2 10 2 abc 0
    W User:g 10.0.0.2 4 3 0
    R User:v 10.0.0.1 3 2 a 0
    R Token:u 10.0.0.1 5 4 kafka-cluster 0
    R Group:g 10.0.0.1 8 4 kafka-cluster 0
    R Group:u 0:0:0:0:0:0:0:1 12 4 kafka-cluster 0
    W Token:g 10.0.0.2 8 3 0
    R Token:g 0:0:0:0:0:0:0:1 8 2 abc 0
    R User:u 10.0.0.1 5 2 c 0
    R User:g 0:0:0:0:0:0:0:1 8 2 abd 0
    W Group:v 10.0.0.2 4 2 0
    R Token:u 0:0:0:0:0:0:0:1 10 2 ab 0
    R Group:u 10.0.0.2 7 4 kafka-cluster 0
    R User:g 10.0.0.2 5 2 b.a 0
    W User:g 10.0.0.2 8 3 0
    R User:v 0:0:0:0:0:0:0:1 8 2 a 0
    R User:v 10.0.0.1 5 4 kafka-cluster 0
    R Token:u 0:0:0:0:0:0:0:1 4 2 abcd 0
    R Group:u 10.0.0.1 5 2 b.a 0
    W Token:v 10.0.0.2 8 2 1
    R User:u 0:0:0:0:0:0:0:1 8 2 b 0
    R User:u 10.0.0.1 8 2 abcd 0
    R User:v 0:0:0:0:0:0:0:1 4 2 * 0
    R User:g 10.0.0.1 10 2 * 0
    W Group:g 10.0.0.2 8 2 1
    R User:u 10.0.0.1 4 3 abcd 0
    R User:u 0:0:0:0:0:0:0:1 5 4 kafka-cluster 0
    R Token:v 10.0.0.1 8 2 abd 0
    R Group:v 10.0.0.1 5 2 éa 0
    W User:v 10.0.0.2 3 2 0
    S User:v false
    A 2 abd 3 User:* 10.0.0.2 6 3
    A 2 * 3 Token:u 10.0.0.1 2 3
    A 3 *x 4 User:* 0:0:0:0:0:0:0:1 6 3
    A 4 kafka-cluster 3 User:u 10.0.0.1 7 3
    R User:v 10.0.0.2 8 2 é 1
    R User:u 0:0:0:0:0:0:0:1 4 3 * 0
    R User:u 0:0:0:0:0:0:0:1 3 2 abd 0
    R User:g 0:0:0:0:0:0:0:1 8 2 a 0
    W Group:v 10.0.0.1 8 2 0
    R User:u 10.0.0.1 3 2 abd 0
    R User:u 10.0.0.1 8 2 é 0
    R Group:u 10.0.0.2 8 3 c 0
    W User:u 10.0.0.1 4 2 0
    R Group:u 10.0.0.2 3 2 b 0
    R Token:v 10.0.0.1 3 2 abd 0
    R User:u 10.0.0.2 3 3 a 0
    W User:g 0:0:0:0:0:0:0:1 3 3 0
    R User:g 10.0.0.2 5 2 b 0
    R User:u 0:0:0:0:0:0:0:1 8 2 abd 0
    R User:g 0:0:0:0:0:0:0:1 4 2 c 0
    W User:u 0:0:0:0:0:0:0:1 4 2 0
    R Group:u 10.0.0.1 4 2 b 0
    R User:u 10.0.0.1 5 2 b.a 0
    R User:v 0:0:0:0:0:0:0:1 4 3 b.a 1
    R User:g 10.0.0.1 7 4 kafka-cluster 0
    W User:u 10.0.0.2 3 3 0
    R Group:u 10.0.0.2 5 2 b 0
    R Token:g 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    R User:v 10.0.0.2 10 2 abc 1
    W Group:u 0:0:0:0:0:0:0:1 3 3 0
    R Token:u 0:0:0:0:0:0:0:1 10 2 abc 0
    R User:g 0:0:0:0:0:0:0:1 5 2 b.a 0
    R User:g 10.0.0.1 3 3 c 0
    R Token:g 10.0.0.1 10 3 b 0
    W Token:u 10.0.0.1 4 2 1
    R User:u 10.0.0.2 5 2 b 0
    R User:u 10.0.0.1 3 3 ab 0
    R Group:u 0:0:0:0:0:0:0:1 3 2 é 0
    W User:u 0:0:0:0:0:0:0:1 8 3 0
    R Token:v 0:0:0:0:0:0:0:1 4 2 abc 0
    R User:g 10.0.0.1 8 3 ab 0
    R User:v 10.0.0.2 12 4 kafka-cluster 1
    R User:g 10.0.0.1 5 4 kafka-cluster 0
    W User:u 10.0.0.1 3 2 0
    R User:u 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    R Token:u 10.0.0.2 3 3 a 0
    R User:g 10.0.0.1 8 2 abd 0
    R Token:g 10.0.0.1 10 3 é 0
    W User:u 10.0.0.2 4 2 0
    R Token:u 10.0.0.2 8 2 abc 0
    R Token:v 10.0.0.2 8 4 kafka-cluster 0
    R User:u 0:0:0:0:0:0:0:1 8 2 b 0
    R User:u 10.0.0.2 3 2 b 0
    W Token:u 0:0:0:0:0:0:0:1 8 2 0
    R User:g 0:0:0:0:0:0:0:1 3 2 abd 0
    R Group:u 0:0:0:0:0:0:0:1 8 2 b.a 0
    R Group:u 0:0:0:0:0:0:0:1 3 2 éa 0
    R Token:u 0:0:0:0:0:0:0:1 8 4 kafka-cluster 0
    W Group:g 10.0.0.1 4 2 0
    S User:root false
    A 2 * 4 User:v 10.0.0.1 6 3
    A 2 a 4 User:* * 2 3
    A 3 abd 3 User:* * 4 2
    A 2 b 3 User:u * 5 3
    A 4 kafka-cluster 3 Group:g * 12 3
    A 4 kafka-cluster 3 User:u * 12 3
    A 3 * 4 User:u 10.0.0.2 11 3
    R User:u 10.0.0.2 4 2 b.a 0
    R User:u 10.0.0.2 8 2 éa 0
    R User:g 10.0.0.1 8 3 a 0
    R User:u 10.0.0.1 12 4 kafka-cluster 1
    W Token:g 10.0.0.2 4 2 1
    R User:u 0:0:0:0:0:0:0:1 8 4 kafka-cluster 0
    R Group:u 10.0.0.1 12 4 kafka-cluster 0
    R Group:u 10.0.0.2 4 3 a 0
    R Group:v 0:0:0:0:0:0:0:1 8 2 abc 1
    W User:u 10.0.0.2 3 3 0
    R Group:u 0:0:0:0:0:0:0:1 3 2 abc 1
    R Group:v 10.0.0.2 4 3 * 0
    R Group:u 0:0:0:0:0:0:0:1 10 2 c 0
    R User:u 10.0.0.1 8 2 abd 1
    W User:g 0:0:0:0:0:0:0:1 4 3 0
    R User:g 10.0.0.2 5 2 b 0
    R User:g 10.0.0.1 12 4 kafka-cluster 0
    R Group:u 10.0.0.1 8 2 a 1
    W User:u 10.0.0.1 3 3 0
    R User:u 0:0:0:0:0:0:0:1 8 4 kafka-cluster 0
    R User:g 0:0:0:0:0:0:0:1 3 3 b.a 0
    R Token:g 0:0:0:0:0:0:0:1 8 4 kafka-cluster 0
    R Group:g 10.0.0.1 5 4 kafka-cluster 0
    W User:g 10.0.0.2 8 3 0
    R User:u 10.0.0.2 10 3 a 0
    R User:u 10.0.0.2 5 2 b 1
    R User:u 0:0:0:0:0:0:0:1 8 3 abc 0
    R Group:u 0:0:0:0:0:0:0:1 3 3 c 0
    W Group:u 10.0.0.1 4 3 0
    R User:g 10.0.0.2 3 2 * 0
    R Group:u 0:0:0:0:0:0:0:1 8 2 é 0
    R Token:u 10.0.0.1 8 2 abc 1
    R User:v 10.0.0.2 10 2 éa 0
    W Group:g 10.0.0.1 4 2 1
    R User:u 0:0:0:0:0:0:0:1 3 2 a 1
    R Token:u 10.0.0.1 10 2 ab 1
    R Token:v 10.0.0.2 8 4 kafka-cluster 0
    R Token:u 10.0.0.2 3 2 éa 0
    W Token:u 0:0:0:0:0:0:0:1 8 2 1
    R User:u 10.0.0.2 3 3 abcd 0
    R Group:g 10.0.0.1 3 2 b.a 0
    R User:v 10.0.0.2 4 2 b.a 0
    R User:u 10.0.0.1 8 3 * 0
    W User:g 10.0.0.1 3 3 0
    R User:u 10.0.0.1 10 2 abc 1
    R Group:g 10.0.0.1 3 3 éa 0
    R User:u 10.0.0.1 5 2 abc 1
    R User:v 0:0:0:0:0:0:0:1 8 2 ab 1
    W Token:v 10.0.0.2 8 2 1
    R Token:g 10.0.0.1 4 2 abc 1
    R User:g 10.0.0.2 4 2 c 0
    R User:v 10.0.0.1 8 2 b 0
    R User:v 0:0:0:0:0:0:0:1 3 2 abcd 1
    W User:v 10.0.0.2 8 3 0
    R Token:g 10.0.0.2 10 2 b 0
    R User:v 0:0:0:0:0:0:0:1 12 4 kafka-cluster 0
    R User:u 10.0.0.1 8 2 b 0
    R User:u 0:0:0:0:0:0:0:1 5 4 kafka-cluster 0
    W Group:v 10.0.0.2 4 3 0
    S User:root false
    A 3 ab 4 Token:u * 5 3
    A 2 b 3 Token:u * 6 2
    A 4 kafka-cluster 3 Group:g * 7 3
    A 2 abd 4 Token:u * 4 2
    A 2 a 4 User:u 10.0.0.1 3 3
    A 2 ab 3 User:* * 11 3
    A 2 abd 4 User:u * 8 2
    A 4 kafka-cluster 3 User:* * 5 2
    A 2 b 4 Token:u 10.0.0.1 10 3
    A 2 b.a 4 User:* 0:0:0:0:0:0:0:1 11 2
    A 2 abc 3 User:u * 6 3
    A 4 kafka-cluster 3 User:u * 12 3
    A 4 kafka-cluster 3 User:* * 7 3
    A 4 kafka-cluster 3 User:u * 7 3
    R Token:u 10.0.0.1 5 3 c 0
    R Token:v 10.0.0.2 3 2 é 0
    R Token:g 10.0.0.2 12 4 kafka-cluster 0
    R User:u 0:0:0:0:0:0:0:1 5 2 b 0
    W User:v 10.0.0.1 4 3 0
    R User:v 10.0.0.2 12 4 kafka-cluster 0
    R User:u 0:0:0:0:0:0:0:1 8 2 é 0
    R Token:g 0:0:0:0:0:0:0:1 10 3 c 0
    W Token:v 10.0.0.1 8 3 0
    R User:u 0:0:0:0:0:0:0:1 10 2 ab 1
    R User:u 10.0.0.1 10 2 a 0
    R User:v 0:0:0:0:0:0:0:1 3 3 b 0
    R Group:u 10.0.0.2 5 3 é 0
    W User:u 0:0:0:0:0:0:0:1 3 2 0
    R User:u 0:0:0:0:0:0:0:1 10 3 c 0
    R Group:u 10.0.0.1 3 2 éa 0
    R User:u 10.0.0.2 5 4 kafka-cluster 0
    R Group:v 0:0:0:0:0:0:0:1 3 2 éa 0
    W Group:u 0:0:0:0:0:0:0:1 3 3 0
    R Group:u 10.0.0.1 8 4 kafka-cluster 1
    R Token:v 10.0.0.1 3 2 b 0
    R User:g 0:0:0:0:0:0:0:1 5 2 b 0
    R Group:v 10.0.0.1 12 4 kafka-cluster 0
    W Token:u 0:0:0:0:0:0:0:1 3 2 0
    R User:v 0:0:0:0:0:0:0:1 5 4 kafka-cluster 0
    R Token:u 10.0.0.1 8 2 b 0
    R User:u 10.0.0.2 8 2 b 0
    R User:u 10.0.0.1 8 2 a 1
    W User:g 10.0.0.2 3 2 0
    R User:g 10.0.0.2 5 2 a 0
    R User:g 10.0.0.2 12 4 kafka-cluster 0
    R User:u 10.0.0.1 4 2 a 0
    R Group:u 0:0:0:0:0:0:0:1 10 2 abc 0
    W User:u 0:0:0:0:0:0:0:1 4 2 0
    R User:g 10.0.0.2 3 2 abd 0
    R Token:u 10.0.0.1 5 4 kafka-cluster 0
    R Group:g 0:0:0:0:0:0:0:1 8 2 b.a 0
    W Token:u 0:0:0:0:0:0:0:1 3 3 0
    R Group:g 0:0:0:0:0:0:0:1 10 2 * 0
    R User:v 10.0.0.1 8 3 abd 0
    R User:u 10.0.0.2 8 4 kafka-cluster 1
    R User:u 10.0.0.2 7 4 kafka-cluster 1
    W User:u 10.0.0.1 4 2 0
    R Token:u 10.0.0.2 5 4 kafka-cluster 0
    R User:u 0:0:0:0:0:0:0:1 10 2 abd 0
    R User:g 10.0.0.2 3 2 b 0
    R Token:v 10.0.0.1 12 4 kafka-cluster 0
    W User:g 10.0.0.2 4 2 0
    R User:v 0:0:0:0:0:0:0:1 3 2 abcd 0
    R User:g 0:0:0:0:0:0:0:1 10 2 b 0
    R Group:g 10.0.0.2 8 2 c 0
    R User:v 0:0:0:0:0:0:0:1 4 3 abcd 0
    W User:u 0:0:0:0:0:0:0:1 8 3 0
    R Group:u 0:0:0:0:0:0:0:1 3 2 é 0
    R User:u 10.0.0.1 3 3 c 0
    R User:g 0:0:0:0:0:0:0:1 4 2 c 0
    R User:g 10.0.0.2 7 4 kafka-cluster 1
    W User:g 0:0:0:0:0:0:0:1 3 3 0
    S User:root false
    A 2 a 3 User:* 10.0.0.2 2 3
    R User:u 0:0:0:0:0:0:0:1 4 2 a 0
    R User:g 10.0.0.2 8 4 kafka-cluster 0
    R User:v 0:0:0:0:0:0:0:1 5 4 kafka-cluster 0
    R Group:u 10.0.0.1 5 2 b 0
    W Token:g 10.0.0.1 4 3 0
    R User:u 0:0:0:0:0:0:0:1 3 2 a 0
    R User:v 0:0:0:0:0:0:0:1 5 2 abcd 0
    R Token:u 0:0:0:0:0:0:0:1 4 3 * 0
    W Token:g 10.0.0.1 3 3 0
    R Group:g 10.0.0.2 4 2 b 0
    R Token:g 10.0.0.1 8 2 * 0
    R User:v 0:0:0:0:0:0:0:1 5 2 c 0
    W User:u 10.0.0.1 3 3 0
    R User:u 10.0.0.2 3 2 ab 0
    R User:u 10.0.0.2 12 4 kafka-cluster 0
    R User:v 10.0.0.1 8 2 b.a 0
    R User:v 10.0.0.2 8 3 * 0
    W User:v 10.0.0.1 8 3 0
    R User:u 10.0.0.1 10 2 abc 0
    R User:u 10.0.0.2 3 2 abcd 0
    R User:v 0:0:0:0:0:0:0:1 3 2 b 0
    W Group:u 10.0.0.1 4 3 0
    R User:u 10.0.0.2 3 2 é 0
    R Group:u 10.0.0.2 10 2 abc 0
    R User:u 10.0.0.1 8 4 kafka-cluster 0
    R Group:u 10.0.0.1 5 3 ab 0
    W User:u 10.0.0.2 8 3 0
    R User:g 10.0.0.1 4 2 a 0
    R User:u 10.0.0.1 5 2 é 0
    R User:v 0:0:0:0:0:0:0:1 4 2 abd 0
    R Token:u 10.0.0.1 8 2 abc 0
    W User:u 10.0.0.1 8 3 0
    R User:u 10.0.0.1 8 2 ab 0
    R User:g 0:0:0:0:0:0:0:1 8 2 * 0
    R User:v 10.0.0.1 3 2 abc 0
    W User:v 10.0.0.1 3 3 0
    R Token:g 0:0:0:0:0:0:0:1 8 3 * 0
    R User:g 0:0:0:0:0:0:0:1 8 2 c 0
    R User:v 10.0.0.2 8 2 b 0
    R User:v 10.0.0.1 7 4 kafka-cluster 0
    W Token:u 10.0.0.1 4 3 0
    R Token:v 10.0.0.2 10 3 abd 0
    R User:v 0:0:0:0:0:0:0:1 8 2 abc 0
    R User:g 10.0.0.1 3 2 éa 0
    R User:u 10.0.0.2 7 4 kafka-cluster 0
    W User:v 0:0:0:0:0:0:0:1 4 3 0
    R Group:u 0:0:0:0:0:0:0:1 3 2 b.a 0
    R Group:u 10.0.0.2 8 2 é 0
    R User:v 0:0:0:0:0:0:0:1 5 3 a 0
    R User:g 10.0.0.2 5 2 c 0
    W Group:v 10.0.0.1 4 2 0
    R User:v 10.0.0.2 3 2 b 0
    R User:u 10.0.0.1 3 3 ab 0
    W Group:u 0:0:0:0:0:0:0:1 4 3 0
    S User:root false
    A 4 kafka-cluster 3 Group:g 10.0.0.2 5 3
    A 3 éa 4 User:u 0:0:0:0:0:0:0:1 3 3
    A 4 kafka-cluster 3 Token:u * 5 2
    A 2 *x 4 User:* 0:0:0:0:0:0:0:1 3 3
    A 2 *x 4 User:* 10.0.0.1 11 3
    A 2 abd 4 User:u 10.0.0.2 5 3
    A 2 abc 4 User:u 0:0:0:0:0:0:0:1 5 3
    A 4 kafka-cluster 3 Token:u 10.0.0.2 12 3
    R User:v 10.0.0.2 3 2 a 0
    R Group:v 0:0:0:0:0:0:0:1 8 3 * 0
    R User:g 10.0.0.2 3 2 a 0
    R User:v 10.0.0.2 8 4 kafka-cluster 0
    W User:g 10.0.0.1 3 3 0
    R User:v 0:0:0:0:0:0:0:1 4 3 é 0
    R User:v 10.0.0.1 4 2 b.a 0
    R Token:v 0:0:0:0:0:0:0:1 8 2 ab 0
    R Token:v 0:0:0:0:0:0:0:1 5 4 kafka-cluster 0
    W User:v 10.0.0.1 4 2 0
    R User:g 10.0.0.1 8 2 ab 0
    R Group:u 10.0.0.1 5 4 kafka-cluster 0
    R User:u 0:0:0:0:0:0:0:1 4 2 b 0
    R User:v 10.0.0.1 10 2 c 0
    W Group:g 10.0.0.2 8 2 0
    R Token:u 10.0.0.1 8 2 b 0
    R User:g 10.0.0.2 12 4 kafka-cluster 0
    R Token:g 0:0:0:0:0:0:0:1 3 2 b 0
    R Group:u 10.0.0.1 10 3 abd 0
    W User:u 0:0:0:0:0:0:0:1 8 2 0
    R Token:u 0:0:0:0:0:0:0:1 4 2 abcd 0
    R User:v 0:0:0:0:0:0:0:1 5 2 éa 0
    R User:u 0:0:0:0:0:0:0:1 3 2 b.a 0
    W User:u 10.0.0.1 8 3 0
    R Group:u 0:0:0:0:0:0:0:1 12 4 kafka-cluster 0
    R User:u 10.0.0.1 5 4 kafka-cluster 0
    R User:u 10.0.0.2 8 4 kafka-cluster 0
    R User:u 10.0.0.2 4 2 ab 0
    W User:v 10.0.0.2 8 2 0
    R User:g 10.0.0.2 5 2 b.a 0
    R Token:u 10.0.0.1 3 2 abd 0
    R Group:v 10.0.0.2 8 2 ab 0
    R User:u 10.0.0.1 7 4 kafka-cluster 0
    W User:u 10.0.0.1 8 2 0
    R User:g 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    R Group:u 10.0.0.1 5 2 * 0
    R User:g 10.0.0.2 7 4 kafka-cluster 0
    R User:u 10.0.0.1 8 2 abc 0
    W User:u 10.0.0.1 8 3 0
    R Group:v 0:0:0:0:0:0:0:1 3 2 éa 0
    R Group:v 0:0:0:0:0:0:0:1 10 2 a 0
    R User:u 10.0.0.2 3 2 abcd 0
    R User:g 10.0.0.2 7 4 kafka-cluster 0
    W User:u 0:0:0:0:0:0:0:1 3 3 1
    R Group:u 10.0.0.1 4 2 a 0
    R User:g 10.0.0.2 8 2 ab 0
    R User:v 10.0.0.1 8 4 kafka-cluster 0
    W User:u 10.0.0.1 3 2 0
    R Token:g 0:0:0:0:0:0:0:1 8 2 abd 0
    R User:u 0:0:0:0:0:0:0:1 3 2 * 0
    R User:u 10.0.0.1 12 4 kafka-cluster 0
    R User:v 10.0.0.2 3 2 a 0
    W User:v 10.0.0.2 8 3 0
    R Token:v 10.0.0.1 4 2 b.a 0
    R Token:g 10.0.0.1 4 2 a 0
    R User:v 0:0:0:0:0:0:0:1 10 2 ab 0
    W User:g 10.0.0.2 4 2 0
    S User:root false
    A 3 abd 3 User:u * 4 2
    A 2 abc 4 User:v * 11 3
    A 3 * 4 User:u * 10 3
    A 4 kafka-cluster 3 User:u * 5 3
    A 2 b.a 3 User:* * 11 3
    A 4 kafka-cluster 3 User:u * 7 3
    A 2 b 4 User:u 10.0.0.1 10 3
    A 4 kafka-cluster 3 User:v * 7 3
    A 2 a 4 User:u * 11 3
    A 2 abd 4 User:u * 3 3
    A 2 * 3 Group:g 10.0.0.1 10 3
    R User:g 0:0:0:0:0:0:0:1 4 3 b 0
    R User:v 10.0.0.2 5 3 abcd 0
    R User:g 0:0:0:0:0:0:0:1 8 3 abc 0
    R User:g 10.0.0.2 8 3 abd 0
    W Token:u 0:0:0:0:0:0:0:1 8 2 0
    R Token:u 10.0.0.1 5 3 c 0
    R User:v 0:0:0:0:0:0:0:1 8 2 abc 0
    R User:v 10.0.0.2 12 4 kafka-cluster 0
    R User:u 0:0:0:0:0:0:0:1 8 2 ab 0
    W User:g 10.0.0.1 3 3 0
    R User:v 0:0:0:0:0:0:0:1 10 2 c 0
    R User:u 10.0.0.2 4 2 b.a 0
    R User:v 10.0.0.2 4 2 é 0
    W Token:u 10.0.0.1 4 3 0
    R Group:v 10.0.0.1 8 2 abc 0
    R User:v 10.0.0.2 8 4 kafka-cluster 1
    R Group:u 10.0.0.1 8 4 kafka-cluster 0
    R Token:v 10.0.0.2 8 3 é 0
    W Token:g 10.0.0.2 4 2 0
    R User:g 0:0:0:0:0:0:0:1 3 2 * 0
    R Token:u 10.0.0.1 8 2 abd 0
    R Token:v 10.0.0.2 3 2 abd 0
    R Group:u 10.0.0.1 8 2 b 0
    W Group:u 10.0.0.2 4 3 0
    R User:u 10.0.0.2 7 4 kafka-cluster 1
    R User:v 10.0.0.2 3 2 é 0
    R User:g 0:0:0:0:0:0:0:1 5 3 abcd 0
    R User:v 10.0.0.2 7 4 kafka-cluster 1
    W Token:g 10.0.0.2 3 3 0
    R User:u 10.0.0.2 7 4 kafka-cluster 1
    R Token:u 10.0.0.2 10 2 ab 0
    R User:u 10.0.0.1 8 2 abd 1
    R Token:v 10.0.0.2 12 4 kafka-cluster 0
    W Group:v 10.0.0.2 4 2 0
    R User:g 0:0:0:0:0:0:0:1 3 2 b.a 0
    R User:v 0:0:0:0:0:0:0:1 5 2 ab 0
    R User:g 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    W Group:u 10.0.0.2 4 2 0
    R Group:u 0:0:0:0:0:0:0:1 10 2 abc 0
    R User:g 10.0.0.1 3 2 abcd 0
    R Group:v 0:0:0:0:0:0:0:1 12 4 kafka-cluster 0
    R Group:v 0:0:0:0:0:0:0:1 8 2 b.a 0
    W Token:v 10.0.0.1 4 2 0
    R Group:u 10.0.0.1 8 3 é 0
    R Token:g 10.0.0.2 4 2 éa 0
    R Group:v 10.0.0.2 5 2 b.a 0
    R User:u 10.0.0.2 8 2 b 0
    W User:g 10.0.0.1 8 3 0
    R User:u 10.0.0.1 4 2 * 0
    R User:v 10.0.0.2 8 2 a 0
    R Group:u 10.0.0.2 5 2 abcd 0
    R User:g 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    W User:u 10.0.0.1 8 2 0
    R Group:v 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    R User:u 0:0:0:0:0:0:0:1 5 2 c 0
    R User:u 10.0.0.1 8 2 ab 0
    R User:v 0:0:0:0:0:0:0:1 10 2 * 0
    W User:u 0:0:0:0:0:0:0:1 3 2 1
    S User:root false
    A 2 éa 3 Group:g 10.0.0.1 11 3
    A 2 *x 4 User:u * 3 3
    A 2 *x 4 User:* * 10 3
    R User:g 10.0.0.2 4 2 * 0
    R Group:u 10.0.0.2 4 2 b 0
    R User:u 0:0:0:0:0:0:0:1 3 2 abc 0
    R Group:u 10.0.0.1 4 3 ab 0
    W Token:v 10.0.0.2 4 2 0
    R User:u 10.0.0.2 7 4 kafka-cluster 0
    R User:u 10.0.0.2 12 4 kafka-cluster 0
    R User:u 10.0.0.2 4 2 éa 0
    R User:g 10.0.0.2 7 4 kafka-cluster 0
    W Group:u 0:0:0:0:0:0:0:1 3 3 0
    R User:v 10.0.0.1 8 2 c 0
    R User:g 0:0:0:0:0:0:0:1 10 2 ab 0
    R User:g 0:0:0:0:0:0:0:1 12 4 kafka-cluster 0
    W Token:u 10.0.0.1 3 3 0
    R Group:u 10.0.0.1 8 4 kafka-cluster 0
    R User:u 10.0.0.1 4 3 é 0
    R Group:v 10.0.0.2 10 2 b.a 0
    R User:v 10.0.0.1 7 4 kafka-cluster 0
    W User:u 10.0.0.2 8 2 0
    R User:u 10.0.0.1 10 2 éa 0
    R Group:u 0:0:0:0:0:0:0:1 3 3 b 0
    R User:u 10.0.0.2 3 3 ab 0
    W Token:v 10.0.0.2 3 3 0
    R User:u 10.0.0.2 3 2 abcd 0
    R Token:v 0:0:0:0:0:0:0:1 8 4 kafka-cluster 0
    R User:v 10.0.0.2 4 2 abd 0
    R Token:u 0:0:0:0:0:0:0:1 8 4 kafka-cluster 0
    W User:v 10.0.0.2 8 2 0
    R Group:g 10.0.0.2 3 2 c 0
    R Group:g 0:0:0:0:0:0:0:1 5 4 kafka-cluster 0
    R User:u 10.0.0.1 5 3 a 0
    W Group:u 0:0:0:0:0:0:0:1 4 3 0
    R User:g 0:0:0:0:0:0:0:1 8 3 b.a 0
    R User:u 10.0.0.1 4 2 * 0
    R User:u 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    W User:g 10.0.0.1 8 3 0
    R Token:u 10.0.0.2 12 4 kafka-cluster 0
    R Token:u 10.0.0.2 8 2 b.a 0
    R Token:g 0:0:0:0:0:0:0:1 4 2 abcd 0
    W User:v 10.0.0.2 3 3 0
    R User:v 10.0.0.1 10 2 * 0
    R Token:g 0:0:0:0:0:0:0:1 8 2 b.a 0
    R User:u 10.0.0.2 5 4 kafka-cluster 0
    W Group:v 10.0.0.1 3 3 0
    R User:g 10.0.0.1 3 2 c 0
    R User:u 0:0:0:0:0:0:0:1 8 2 abd 0
    R Token:u 10.0.0.1 7 4 kafka-cluster 0
    W User:u 10.0.0.2 8 3 0
    R User:u 10.0.0.1 3 2 abcd 0
    R Token:v 10.0.0.1 8 2 * 0
    R User:u 0:0:0:0:0:0:0:1 5 4 kafka-cluster 0
    R Group:u 0:0:0:0:0:0:0:1 5 4 kafka-cluster 0
    W User:u 10.0.0.1 3 2 1
    S User:root false
    A 4 kafka-cluster 3 User:* 0:0:0:0:0:0:0:1 7 3
    A 2 é 4 Group:g 10.0.0.1 4 3
    A 2 é 4 User:v * 3 3
    A 2 * 4 Token:u 10.0.0.2 11 3
    A 4 kafka-cluster 3 Token:u * 12 3
    R User:u 10.0.0.1 8 3 abcd 0
    R User:v 10.0.0.2 8 3 b.a 0
    R Token:g 10.0.0.1 8 4 kafka-cluster 0
    R User:u 10.0.0.2 8 3 abc 0
    W User:u 0:0:0:0:0:0:0:1 4 3 0
    R User:v 10.0.0.2 5 2 é 0
    R User:g 10.0.0.2 5 4 kafka-cluster 0
    R User:u 0:0:0:0:0:0:0:1 3 2 b.a 0
    R Group:v 0:0:0:0:0:0:0:1 4 2 abc 0
    W User:g 0:0:0:0:0:0:0:1 8 3 0
    R User:u 10.0.0.2 8 2 abcd 0
    R Group:v 10.0.0.1 4 2 b.a 0
    R User:u 10.0.0.1 8 3 a 0
    W User:u 0:0:0:0:0:0:0:1 4 3 0
    R Group:u 0:0:0:0:0:0:0:1 3 2 abd 0
    R User:v 0:0:0:0:0:0:0:1 10 2 éa 0
    R User:u 10.0.0.2 3 2 abc 0
    W User:u 10.0.0.1 3 2 0
    R User:u 0:0:0:0:0:0:0:1 8 4 kafka-cluster 1
    R User:g 0:0:0:0:0:0:0:1 10 3 abc 0
    R User:u 10.0.0.2 7 4 kafka-cluster 0
    R User:g 10.0.0.2 8 2 b 0
    W Token:g 10.0.0.2 8 3 0
    R User:v 10.0.0.2 8 2 é 1
    R User:g 10.0.0.1 3 2 abcd 0
    R User:g 10.0.0.1 10 2 abc 0
    R User:v 10.0.0.2 7 4 kafka-cluster 0
    W User:u 10.0.0.2 3 2 0
    R Token:u 0:0:0:0:0:0:0:1 12 4 kafka-cluster 1
    R User:u 10.0.0.2 4 2 a 0
    R Token:u 10.0.0.2 5 4 kafka-cluster 0
    R User:u 0:0:0:0:0:0:0:1 8 4 kafka-cluster 1
    W User:u 10.0.0.2 8 2 0
    R User:v 10.0.0.2 3 2 b.a 0
    R Token:u 10.0.0.2 5 3 abd 0
    R User:g 10.0.0.2 10 2 ab 0
    R Token:v 0:0:0:0:0:0:0:1 8 2 abcd 0
    W Group:u 10.0.0.1 4 3 0
    R User:u 0:0:0:0:0:0:0:1 10 2 é 0
    R User:v 10.0.0.2 5 4 kafka-cluster 0
    R Group:v 10.0.0.1 8 2 b.a 0
    W Token:g 10.0.0.1 3 2 0
    R User:u 10.0.0.1 3 3 éa 0
    R User:u 0:0:0:0:0:0:0:1 7 4 kafka-cluster 1
    W Group:u 10.0.0.2 3 2 0
    R User:g 10.0.0.1 10 2 é 0
    R Token:g 0:0:0:0:0:0:0:1 4 2 é 0
    R User:u 10.0.0.1 5 4 kafka-cluster 0
    R Token:u 10.0.0.1 8 4 kafka-cluster 0
    W Token:u 10.0.0.1 8 2 0
    R Group:g 10.0.0.1 4 2 ab 0
    R Token:u 0:0:0:0:0:0:0:1 5 2 é 0
    W User:v 10.0.0.1 4 3 0
    S User:root false
    A 4 kafka-cluster 3 User:* 10.0.0.1 5 3
    A 2 abd 3 User:* * 3 2
    A 2 a 3 User:* 0:0:0:0:0:0:0:1 5 3
    R User:g 0:0:0:0:0:0:0:1 10 2 éa 0
    R User:v 10.0.0.1 10 2 c 0
    R User:v 10.0.0.2 3 3 ab 0
    R Group:v 10.0.0.2 8 2 a 0
    W User:u 10.0.0.1 3 2 0
    R User:u 10.0.0.2 8 2 abcd 0
    R Token:v 0:0:0:0:0:0:0:1 3 2 abcd 0
    R User:g 0:0:0:0:0:0:0:1 10 2 * 0
    R User:u 10.0.0.2 5 3 éa 0
    W Token:u 10.0.0.2 3 2 0
    R User:g 10.0.0.2 8 2 abcd 0
    R User:u 10.0.0.2 8 2 * 0
    R Token:u 10.0.0.1 8 2 b.a 0
    W Token:v 10.0.0.2 4 2 0
    R Group:u 10.0.0.2 8 4 kafka-cluster 0
    R Group:u 10.0.0.1 7 4 kafka-cluster 0
    R Token:g 0:0:0:0:0:0:0:1 5 2 b.a 0
    W Group:v 10.0.0.1 3 2 0
    R Group:v 0:0:0:0:0:0:0:1 5 2 é 0
    R Token:u 0:0:0:0:0:0:0:1 8 4 kafka-cluster 0
    R User:g 0:0:0:0:0:0:0:1 4 2 abcd 0
    R User:v 10.0.0.2 8 2 b 0
    W User:g 10.0.0.1 3 2 0
    R User:u 0:0:0:0:0:0:0:1 8 2 a 0
    R User:u 0:0:0:0:0:0:0:1 3 2 a 0
    R User:u 10.0.0.1 3 3 b.a 0
    R Group:g 0:0:0:0:0:0:0:1 8 2 é 0
    W User:g 10.0.0.1 3 3 0
    R User:g 10.0.0.1 7 4 kafka-cluster 0
    R User:u 10.0.0.2 4 3 b.a 0
    R User:g 10.0.0.1 4 2 b.a 0
    R User:u 10.0.0.1 12 4 kafka-cluster 0
    W User:u 0:0:0:0:0:0:0:1 3 2 0
    R User:u 0:0:0:0:0:0:0:1 12 4 kafka-cluster 0
    R Group:v 10.0.0.1 4 2 a 0
    R User:u 0:0:0:0:0:0:0:1 12 4 kafka-cluster 0
    R Group:g 10.0.0.1 8 2 * 0
    W User:u 0:0:0:0:0:0:0:1 4 3 0
    R Token:u 10.0.0.2 3 2 abd 0
    R Token:u 0:0:0:0:0:0:0:1 8 3 * 0
    R Token:u 10.0.0.1 10 2 é 0
    W Group:u 10.0.0.1 3 2 0
    R Group:g 10.0.0.1 8 3 éa 0
    R Group:u 10.0.0.2 3 2 * 0
    R User:u 10.0.0.2 8 2 a 0
    W Token:g 10.0.0.1 3 2 0
    R User:u 10.0.0.2 5 3 éa 0
    R Token:u 0:0:0:0:0:0:0:1 5 4 kafka-cluster 0
    R User:u 0:0:0:0:0:0:0:1 8 2 abd 0
    R User:u 10.0.0.1 10 3 abcd 0
    W User:v 10.0.0.1 3 2 0
    R Group:u 10.0.0.2 10 2 * 0
    R User:u 10.0.0.1 5 4 kafka-cluster 1
    R User:u 0:0:0:0:0:0:0:1 5 4 kafka-cluster 0
    R User:g 10.0.0.1 3 2 abcd 0
    W User:u 0:0:0:0:0:0:0:1 4 2 0
    S User:root false
    A 4 kafka-cluster 3 Group:g * 2 3
    A 3 b 4 User:u * 10 3
    A 3 abd 3 Group:g 10.0.0.1 11 2
    A 3 b 4 User:v * 7 3
    A 2 éa 3 User:u * 3 3
    A 4 kafka-cluster 3 User:* * 5 3
    R User:g 0:0:0:0:0:0:0:1 8 2 b 0
    R User:v 10.0.0.1 10 2 abd 0
    R User:g 10.0.0.1 8 2 c 0
    R Token:g 10.0.0.1 10 3 abc 0
    W User:g 10.0.0.2 8 3 0
    R Token:u 10.0.0.1 3 2 b 0
    R Token:g 10.0.0.1 4 2 abd 0
    R User:v 0:0:0:0:0:0:0:1 3 2 abd 0
    R Group:g 10.0.0.2 8 4 kafka-cluster 1
    W Token:g 0:0:0:0:0:0:0:1 4 2 0
    R Token:u 10.0.0.2 3 2 é 0
    R User:u 0:0:0:0:0:0:0:1 8 3 abcd 0
    R Token:g 0:0:0:0:0:0:0:1 12 4 kafka-cluster 0
    R User:u 10.0.0.1 5 4 kafka-cluster 1
    W Token:v 10.0.0.1 8 2 0
    R Group:u 10.0.0.2 3 2 b.a 0
    R Token:v 0:0:0:0:0:0:0:1 5 4 kafka-cluster 1
    R User:g 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    R User:v 10.0.0.2 8 2 c 0
    W Group:g 0:0:0:0:0:0:0:1 3 2 0
    R User:u 10.0.0.1 7 4 kafka-cluster 0
    R User:u 10.0.0.2 8 2 * 0
    R User:u 10.0.0.2 8 2 a 0
    R Group:g 10.0.0.2 4 3 abcd 0
    W User:g 0:0:0:0:0:0:0:1 4 3 0
    R User:u 0:0:0:0:0:0:0:1 3 2 é 0
    R User:v 10.0.0.1 12 4 kafka-cluster 0
    R Group:v 10.0.0.1 8 2 c 0
    W Group:u 10.0.0.1 4 2 0
    R Group:u 10.0.0.1 8 4 kafka-cluster 0
    R User:v 10.0.0.2 8 4 kafka-cluster 0
    R Group:u 10.0.0.2 8 2 éa 0
    R Token:v 10.0.0.1 3 3 ab 0
    W User:v 0:0:0:0:0:0:0:1 3 3 0
    R User:u 0:0:0:0:0:0:0:1 4 2 a 0
    R Token:u 0:0:0:0:0:0:0:1 8 4 kafka-cluster 0
    R User:v 10.0.0.2 10 2 * 0
    R User:u 0:0:0:0:0:0:0:1 8 2 abc 0
    W Token:u 10.0.0.2 8 2 0
    R User:u 10.0.0.1 4 2 a 0
    R User:u 10.0.0.2 8 3 b.a 0
    R Token:u 10.0.0.2 8 4 kafka-cluster 0
    R Token:v 10.0.0.2 5 2 éa 0
    W User:v 10.0.0.1 8 3 0
    R User:g 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    R Group:v 10.0.0.1 3 2 abc 0
    R User:g 10.0.0.2 4 2 abd 0
    R Group:v 10.0.0.1 5 4 kafka-cluster 1
    W User:u 0:0:0:0:0:0:0:1 4 3 0
    R Group:u 10.0.0.1 12 4 kafka-cluster 0
    R User:u 0:0:0:0:0:0:0:1 5 2 * 0
    R Token:g 10.0.0.1 8 2 é 0
    R User:g 0:0:0:0:0:0:0:1 4 3 b.a 0
    W Group:v 10.0.0.1 8 2 0
    R User:u 10.0.0.1 3 2 a 0
    R Group:u 10.0.0.1 3 2 ab 0
    R Token:v 10.0.0.1 8 2 b.a 0
    W User:u 10.0.0.2 3 3 0
    S User:v false
    A 2 abc 3 Group:g * 3 3
    A 4 kafka-cluster 3 Token:u * 2 3
    A 4 kafka-cluster 3 User:u * 2 3
    A 3 b 3 User:v * 6 3
    A 4 kafka-cluster 3 User:* * 12 3
    A 2 abd 3 User:* * 7 3
    A 2 b.a 3 User:u * 4 3
    A 3 ab 4 Token:u 10.0.0.2 10 3
    A 4 kafka-cluster 3 User:* 10.0.0.1 2 3
    A 2 éa 4 User:* * 3 3
    A 2 * 4 User:u * 8 3
    A 2 * 4 User:u * 7 3
    A 2 éa 4 User:* 10.0.0.2 3 3
    R Group:g 0:0:0:0:0:0:0:1 3 3 éa 0
    R User:v 0:0:0:0:0:0:0:1 4 2 abcd 1
    R Group:u 0:0:0:0:0:0:0:1 5 2 * 0
    W Group:u 10.0.0.1 3 3 0
    R Token:v 0:0:0:0:0:0:0:1 3 2 b.a 0
    R User:u 10.0.0.2 8 4 kafka-cluster 1
    R User:g 0:0:0:0:0:0:0:1 5 2 abcd 0
    R Group:u 0:0:0:0:0:0:0:1 10 2 abc 0
    W User:v 0:0:0:0:0:0:0:1 3 2 1
    R User:u 0:0:0:0:0:0:0:1 5 4 kafka-cluster 1
    R User:g 10.0.0.2 8 2 b.a 0
    R Token:v 0:0:0:0:0:0:0:1 4 2 c 0
    R User:u 0:0:0:0:0:0:0:1 10 2 b.a 0
    W Token:g 10.0.0.2 8 2 0
    R User:u 0:0:0:0:0:0:0:1 5 3 a 0
    R User:v 0:0:0:0:0:0:0:1 8 2 ab 1
    R User:u 10.0.0.1 3 2 abc 0
    R User:v 0:0:0:0:0:0:0:1 5 2 b 1
    W User:u 10.0.0.1 8 2 1
    R Token:u 10.0.0.2 12 4 kafka-cluster 1
    R User:u 10.0.0.2 4 2 b.a 1
    R User:v 10.0.0.2 8 2 ab 1
    R Token:g 10.0.0.1 10 3 b 0
    W Token:v 10.0.0.1 4 3 0
    R User:u 10.0.0.2 8 4 kafka-cluster 1
    R User:u 10.0.0.2 7 4 kafka-cluster 1
    R User:u 10.0.0.1 8 2 éa 1
    R User:v 0:0:0:0:0:0:0:1 7 4 kafka-cluster 1
    W Token:u 0:0:0:0:0:0:0:1 4 2 0
    R User:g 10.0.0.1 8 2 b.a 0
    R Token:u 10.0.0.2 3 2 c 0
    R User:v 10.0.0.2 8 2 abc 1
    R Token:g 10.0.0.2 8 3 a 0
    W Group:v 10.0.0.1 3 2 1
    R User:u 10.0.0.2 7 4 kafka-cluster 1
    R User:u 10.0.0.2 10 3 a 0
    R Group:g 0:0:0:0:0:0:0:1 5 2 abc 0
    R Token:g 0:0:0:0:0:0:0:1 3 2 b 0
    W User:v 0:0:0:0:0:0:0:1 3 3 1
    R Token:g 10.0.0.1 10 3 éa 0
    R User:u 0:0:0:0:0:0:0:1 3 2 * 0
    R Group:v 10.0.0.1 8 2 ab 0
    W User:u 0:0:0:0:0:0:0:1 3 3 0
    R Group:g 0:0:0:0:0:0:0:1 3 3 abc 0
    R Token:g 0:0:0:0:0:0:0:1 3 2 ab 0
    R Token:u 10.0.0.1 12 4 kafka-cluster 1
    R User:g 10.0.0.2 5 3 c 0
    W User:g 0:0:0:0:0:0:0:1 4 3 0
    R Group:u 10.0.0.2 8 3 abd 0
    R User:u 10.0.0.1 4 2 b 0
    R User:u 0:0:0:0:0:0:0:1 3 2 c 0
    R Token:v 10.0.0.2 10 3 éa 0
    W User:u 10.0.0.1 3 2 1
    R User:v 0:0:0:0:0:0:0:1 3 3 b 1
    R User:u 0:0:0:0:0:0:0:1 4 2 * 0
    R User:u 10.0.0.1 7 4 kafka-cluster 1
    R Token:u 10.0.0.1 3 2 abd 0
    W User:u 10.0.0.2 3 3 0
    S User:root false
    R User:u 10.0.0.1 4 2 abc 0
    R User:v 10.0.0.2 8 4 kafka-cluster 0
    R User:v 10.0.0.2 3 2 * 0
    R User:u 10.0.0.1 3 2 é 0
    W User:g 10.0.0.1 3 2 0
    R User:v 0:0:0:0:0:0:0:1 8 2 abc 0
    R Token:g 0:0:0:0:0:0:0:1 3 3 b.a 0
    R User:u 10.0.0.1 4 3 a 0
    R User:u 10.0.0.2 8 2 é 0
    W Token:u 10.0.0.2 4 2 0
    R User:g 10.0.0.1 4 2 éa 0
    R User:u 0:0:0:0:0:0:0:1 8 2 c 0
    R User:u 0:0:0:0:0:0:0:1 8 2 é 0
    R User:u 10.0.0.2 8 3 b 0
    W User:u 10.0.0.1 4 2 0
    R User:g 10.0.0.1 5 2 abcd 0
    R User:u 10.0.0.2 8 2 c 0
    R User:g 10.0.0.2 3 3 abc 0
    W User:g 10.0.0.1 3 3 0
    R User:g 10.0.0.2 12 4 kafka-cluster 0
    R Group:g 10.0.0.2 8 2 c 0
    R User:g 10.0.0.1 8 2 abcd 0
    R User:u 10.0.0.1 3 2 c 0
    W User:u 10.0.0.2 8 2 0
    R Group:u 10.0.0.2 8 2 * 0
    R Token:v 0:0:0:0:0:0:0:1 8 2 abd 0
    R Group:u 0:0:0:0:0:0:0:1 8 4 kafka-cluster 0
    W Token:v 0:0:0:0:0:0:0:1 8 2 0
    R Group:v 10.0.0.2 7 4 kafka-cluster 0
    R Group:u 10.0.0.1 10 2 abc 0
    R Group:v 10.0.0.1 8 3 b 0
    W User:u 10.0.0.2 8 3 0
    R User:g 10.0.0.2 5 2 c 0
    R User:g 10.0.0.2 3 3 * 0
    R User:g 10.0.0.2 5 2 é 0
    R User:g 10.0.0.2 8 3 c 0
    W Group:u 10.0.0.2 4 2 0
    R Token:u 10.0.0.1 5 2 * 0
    R Group:u 0:0:0:0:0:0:0:1 3 2 c 0
    R User:u 10.0.0.2 5 4 kafka-cluster 0
    W User:u 10.0.0.1 4 2 0
    R Token:u 10.0.0.2 8 2 éa 0
    R User:u 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    R User:g 0:0:0:0:0:0:0:1 3 2 b.a 0
    W User:u 10.0.0.2 4 3 0
    R Token:v 10.0.0.1 3 2 a 0
    R User:g 10.0.0.2 3 3 * 0
    R Group:g 0:0:0:0:0:0:0:1 3 3 b 0
    R Group:u 10.0.0.1 10 2 ab 0
    W Group:u 10.0.0.2 3 2 0
    R Token:g 0:0:0:0:0:0:0:1 10 2 b.a 0
    R User:u 10.0.0.1 7 4 kafka-cluster 0
    R User:u 10.0.0.1 3 2 abd 0
    R Group:u 0:0:0:0:0:0:0:1 10 3 a 0
    W Token:v 0:0:0:0:0:0:0:1 3 3 0
    S User:root false
    A 2 ab 3 User:u * 2 3
    A 4 kafka-cluster 3 User:u * 5 3
    A 2 b 4 User:v * 10 3
    A 2 b 4 User:* 10.0.0.1 7 3
    A 4 kafka-cluster 3 Group:g * 12 2
    A 2 abc 4 User:* * 3 3
    A 3 b 4 User:* 0:0:0:0:0:0:0:1 10 3
    A 2 é 3 User:* * 3 3
    A 4 kafka-cluster 3 User:* * 5 3
    A 4 kafka-cluster 3 User:* 10.0.0.1 5 3
    A 2 abc 3 User:u 0:0:0:0:0:0:0:1 7 2
    A 4 kafka-cluster 3 Token:u * 12 3
    A 3 abd 3 User:u * 3 2
    A 2 abd 3 Group:g * 2 3
    R User:u 10.0.0.1 8 4 kafka-cluster 0
    R User:g 10.0.0.2 8 2 éa 0
    R Token:u 10.0.0.1 8 2 c 0
    W User:u 0:0:0:0:0:0:0:1 4 2 1
    R User:u 10.0.0.2 10 2 b.a 0
    R Group:u 0:0:0:0:0:0:0:1 10 2 abcd 0
    R Token:v 10.0.0.1 8 3 é 0
    W User:u 0:0:0:0:0:0:0:1 3 3 0
    R User:u 10.0.0.1 7 4 kafka-cluster 0
    R User:u 10.0.0.1 5 2 c 0
    R User:u 10.0.0.2 8 2 c 0
    R User:g 10.0.0.1 4 2 b 0
    W User:v 10.0.0.1 3 3 0
    R User:u 0:0:0:0:0:0:0:1 8 2 b.a 0
    R User:u 0:0:0:0:0:0:0:1 8 3 b 0
    R User:u 10.0.0.1 8 2 abd 0
    W Group:u 0:0:0:0:0:0:0:1 4 2 0
    R Token:g 10.0.0.1 4 2 a 0
    R User:u 10.0.0.1 10 2 a 0
    R User:u 10.0.0.1 10 2 abcd 0
    W User:u 10.0.0.2 8 3 0
    R User:u 10.0.0.2 4 3 b.a 0
    R Group:g 10.0.0.2 10 2 * 0
    R User:u 10.0.0.2 10 2 ab 1
    W User:u 10.0.0.2 4 3 0
    R User:v 10.0.0.2 4 2 a 0
    R Group:g 0:0:0:0:0:0:0:1 12 4 kafka-cluster 0
    R User:g 0:0:0:0:0:0:0:1 5 2 b 0
    R Group:u 10.0.0.2 8 2 abd 0
    W User:g 10.0.0.2 3 3 0
    R User:g 10.0.0.2 8 2 abc 1
    R Token:u 0:0:0:0:0:0:0:1 3 3 ab 0
    R Group:u 0:0:0:0:0:0:0:1 5 4 kafka-cluster 1
    R Token:u 0:0:0:0:0:0:0:1 3 2 c 0
    W User:g 10.0.0.2 4 2 0
    R User:v 10.0.0.1 5 4 kafka-cluster 1
    R Group:g 10.0.0.1 8 2 abd 1
    R Token:g 10.0.0.2 5 4 kafka-cluster 1
    R User:u 10.0.0.1 10 3 éa 0
    W Token:u 10.0.0.2 8 3 0
    R Token:g 0:0:0:0:0:0:0:1 5 2 abcd 0
    R Token:g 10.0.0.2 5 3 * 0
    R User:u 10.0.0.2 3 3 éa 0
    R Group:v 10.0.0.2 3 2 b 0
    W User:v 10.0.0.1 3 3 0
    R User:v 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    R User:g 10.0.0.2 7 4 kafka-cluster 0
    R User:g 0:0:0:0:0:0:0:1 5 3 b.a 0
    R User:g 0:0:0:0:0:0:0:1 10 3 abcd 0
    W User:u 0:0:0:0:0:0:0:1 4 3 0
    R User:v 10.0.0.1 10 2 é 0
    R Group:v 10.0.0.1 8 3 abc 0
    R User:g 10.0.0.2 3 2 c 0
    R User:g 10.0.0.1 3 2 b 0
    W User:v 0:0:0:0:0:0:0:1 8 2 0
    S User:root false
    R Group:v 10.0.0.1 8 2 éa 0
    R Token:v 10.0.0.1 12 4 kafka-cluster 0
    R User:g 10.0.0.2 3 2 abc 0
    R User:u 10.0.0.1 5 4 kafka-cluster 0
    W Token:v 0:0:0:0:0:0:0:1 8 2 0
    R Group:g 10.0.0.2 8 2 é 0
    R User:u 0:0:0:0:0:0:0:1 8 2 a 0
    R Group:u 10.0.0.1 8 2 ab 0
    R Group:g 0:0:0:0:0:0:0:1 8 4 kafka-cluster 0
    W User:v 0:0:0:0:0:0:0:1 4 2 0
    R Token:v 10.0.0.2 8 2 a 0
    R User:u 10.0.0.1 5 4 kafka-cluster 0
    R Token:g 10.0.0.2 4 2 abd 0
    R Group:u 10.0.0.2 8 3 éa 0
    W Group:v 10.0.0.1 4 2 0
    R Group:u 0:0:0:0:0:0:0:1 3 2 é 0
    R Token:u 10.0.0.1 3 2 éa 0
    R Token:v 10.0.0.2 8 4 kafka-cluster 0
    R User:u 10.0.0.2 4 2 abd 0
    W User:u 10.0.0.2 4 2 0
    R Token:u 0:0:0:0:0:0:0:1 10 2 ab 0
    R User:u 10.0.0.2 3 2 é 0
    R User:g 0:0:0:0:0:0:0:1 4 3 é 0
    R User:u 10.0.0.1 5 2 abd 0
    W Group:u 10.0.0.1 8 3 0
    R User:u 0:0:0:0:0:0:0:1 5 2 é 0
    R Token:u 10.0.0.2 4 2 abd 0
    R User:u 0:0:0:0:0:0:0:1 5 4 kafka-cluster 0
    R User:u 10.0.0.1 3 3 abc 0
    W Token:u 10.0.0.1 8 3 0
    R User:u 10.0.0.2 8 2 * 0
    R User:v 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    W User:g 10.0.0.2 3 2 0
    R Group:g 0:0:0:0:0:0:0:1 10 2 b.a 0
    R Group:v 10.0.0.1 5 4 kafka-cluster 0
    R User:u 10.0.0.1 3 3 ab 0
    R User:u 10.0.0.2 8 2 ab 0
    W Group:v 0:0:0:0:0:0:0:1 8 3 0
    R User:g 10.0.0.2 4 2 abc 0
    R User:u 10.0.0.1 3 2 c 0
    R User:u 10.0.0.1 8 4 kafka-cluster 0
    R Group:u 10.0.0.2 4 2 ab 0
    W User:g 10.0.0.1 3 3 0
    R User:g 10.0.0.1 8 2 c 0
    R User:u 10.0.0.2 8 4 kafka-cluster 0
    R Token:u 10.0.0.2 3 2 ab 0
    R Group:u 10.0.0.2 3 2 ab 0
    W User:v 10.0.0.2 8 3 0
    R User:v 10.0.0.2 5 3 abcd 0
    R Token:v 10.0.0.1 8 2 * 0
    R User:u 0:0:0:0:0:0:0:1 8 3 c 0
    R User:g 10.0.0.2 3 3 abcd 0
    W Token:g 10.0.0.1 4 2 0
    R Group:u 10.0.0.1 8 2 abc 0
    R User:u 10.0.0.2 8 4 kafka-cluster 0
    R User:u 10.0.0.2 7 4 kafka-cluster 0
    R User:v 0:0:0:0:0:0:0:1 5 2 abc 0
    W User:u 0:0:0:0:0:0:0:1 3 2 0
    S User:v false
    A 3 * 3 Token:u 10.0.0.1 8 3
    A 3 b 4 User:* 10.0.0.2 2 3
    A 2 abd 3 User:v 10.0.0.1 8 2
    A 3 éa 3 Token:u * 6 2
    A 2 b 3 Token:u * 8 2
    A 2 éa 4 User:v * 6 3
    A 2 *x 3 User:* * 3 3
    A 4 kafka-cluster 3 Token:u * 12 3
    R User:g 10.0.0.1 3 2 abd 0
    R User:g 0:0:0:0:0:0:0:1 5 4 kafka-cluster 0
    R Group:u 0:0:0:0:0:0:0:1 8 2 abc 0
    R User:g 10.0.0.2 8 2 * 0
    W User:v 0:0:0:0:0:0:0:1 4 3 1
    R Group:u 10.0.0.2 12 4 kafka-cluster 0
    R User:u 0:0:0:0:0:0:0:1 8 2 é 0
    R Group:v 10.0.0.1 4 3 a 0
    R Group:v 10.0.0.2 5 3 c 0
    W Group:u 10.0.0.2 4 3 1
    R User:u 10.0.0.1 7 4 kafka-cluster 0
    R User:u 10.0.0.2 3 2 b 0
    R User:v 10.0.0.2 12 4 kafka-cluster 1
    R User:u 10.0.0.2 8 2 * 0
    W User:u 0:0:0:0:0:0:0:1 4 3 0
    R User:u 10.0.0.1 3 2 abd 0
    R Token:u 10.0.0.2 8 3 abc 0
    R User:v 10.0.0.2 10 3 abc 1
    R User:u 10.0.0.1 3 2 c 0
    W Token:v 10.0.0.1 3 3 0
    R User:g 0:0:0:0:0:0:0:1 4 2 c 0
    R User:g 0:0:0:0:0:0:0:1 3 2 abd 0
    R Token:g 10.0.0.1 8 3 * 0
    W User:v 10.0.0.1 3 3 1
    R User:g 0:0:0:0:0:0:0:1 10 2 b 0
    R Token:g 10.0.0.1 7 4 kafka-cluster 0
    R Token:u 10.0.0.2 8 2 b 0
    R User:u 10.0.0.1 3 2 abc 0
    W User:v 0:0:0:0:0:0:0:1 8 2 1
    R Group:u 10.0.0.1 4 2 é 0
    R Token:g 10.0.0.1 3 2 éa 0
    R User:u 0:0:0:0:0:0:0:1 3 2 abc 0
    W User:g 10.0.0.2 4 3 1
    R User:u 10.0.0.1 12 4 kafka-cluster 0
    R Token:v 10.0.0.2 3 3 b 1
    R User:g 0:0:0:0:0:0:0:1 5 4 kafka-cluster 0
    R User:g 10.0.0.2 8 2 b.a 0
    W User:u 10.0.0.2 4 2 0
    R User:u 10.0.0.2 4 3 b.a 1
    R User:u 10.0.0.1 4 2 ab 0
    R User:v 10.0.0.2 5 2 b.a 1
    R User:u 0:0:0:0:0:0:0:1 10 3 b.a 0
    W User:u 10.0.0.1 4 2 0
    R User:v 10.0.0.1 8 3 abd 1
    R User:u 0:0:0:0:0:0:0:1 8 3 a 0
    R Token:u 10.0.0.1 3 2 b 0
    R User:u 10.0.0.1 8 2 abc 0
    W User:g 10.0.0.2 8 3 1
    R User:u 10.0.0.2 12 4 kafka-cluster 0
    R Token:g 10.0.0.1 8 2 abcd 0
    R Group:v 10.0.0.2 10 2 c 0
    R Group:v 10.0.0.2 3 2 a 0
    W User:u 0:0:0:0:0:0:0:1 8 2 0
    R User:u 10.0.0.1 8 2 abcd 0
    R User:u 10.0.0.1 8 2 ab 0
    R User:v 10.0.0.1 8 3 éa 1
    R User:u 10.0.0.1 8 2 é 0
    W User:v 10.0.0.2 8 3 1
    S User:root false
    A 2 éa 4 User:* * 2 3
    A 2 a 3 User:u * 4 2
    A 2 éa 3 User:* * 3 3
    A 4 kafka-cluster 3 User:* * 5 3
    A 2 *x 3 User:* 0:0:0:0:0:0:0:1 8 2
    A 3 ab 4 User:v * 7 2
    A 3 abc 3 Token:u 10.0.0.1 3 2
    A 2 ab 4 User:* * 11 3
    A 4 kafka-cluster 3 Group:g * 5 3
    A 3 éa 3 User:v 10.0.0.2 8 3
    A 2 b.a 4 User:* 10.0.0.2 4 3
    R User:u 0:0:0:0:0:0:0:1 10 2 a 0
    R Group:v 10.0.0.2 8 2 é 0
    R User:u 10.0.0.2 8 2 éa 1
    W User:u 0:0:0:0:0:0:0:1 3 2 1
    R Token:u 10.0.0.1 8 2 abcd 0
    R User:u 10.0.0.2 7 4 kafka-cluster 0
    R User:g 0:0:0:0:0:0:0:1 3 3 abcd 0
    R Group:u 10.0.0.2 12 4 kafka-cluster 0
    W User:g 10.0.0.1 8 3 0
    R Group:g 10.0.0.1 4 3 c 0
    R User:u 10.0.0.1 4 2 abd 0
    R Group:u 10.0.0.1 3 2 abcd 0
    W Token:g 0:0:0:0:0:0:0:1 8 2 1
    R User:u 10.0.0.2 3 3 * 0
    R User:g 10.0.0.1 12 4 kafka-cluster 0
    R User:v 10.0.0.2 10 2 c 0
    R User:u 10.0.0.1 4 2 abd 0
    W Token:v 10.0.0.2 3 2 1
    R Token:u 10.0.0.2 5 2 b 0
    R User:g 10.0.0.2 8 2 a 0
    R User:u 10.0.0.1 4 3 * 0
    R User:v 10.0.0.1 5 4 kafka-cluster 1
    W Group:g 0:0:0:0:0:0:0:1 4 3 0
    R Token:u 10.0.0.2 3 2 éa 1
    R Group:u 10.0.0.1 8 2 abc 0
    R Token:v 10.0.0.1 5 2 c 0
    R User:v 0:0:0:0:0:0:0:1 3 3 abcd 0
    W User:u 0:0:0:0:0:0:0:1 3 3 0
    R User:u 10.0.0.1 3 3 ab 0
    R User:g 10.0.0.2 3 2 b.a 0
    R User:u 0:0:0:0:0:0:0:1 10 3 ab 0
    R Token:v 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    W User:u 10.0.0.2 3 2 1
    R User:u 10.0.0.1 3 2 abcd 0
    R Group:g 10.0.0.2 3 2 ab 0
    R User:u 10.0.0.2 4 3 a 0
    R Group:g 10.0.0.2 10 2 é 0
    W Token:u 10.0.0.2 4 3 0
    R User:g 10.0.0.2 8 2 abd 0
    R User:g 10.0.0.2 8 3 a 0
    R Token:u 10.0.0.2 5 2 é 0
    R User:g 10.0.0.1 12 4 kafka-cluster 0
    W Group:u 10.0.0.1 4 3 0
    R User:v 10.0.0.1 5 2 c 0
    R User:u 10.0.0.1 3 2 abcd 0
    R User:u 10.0.0.1 4 2 * 0
    R User:u 10.0.0.2 8 2 * 0
    W User:g 10.0.0.2 4 2 1
    R User:u 0:0:0:0:0:0:0:1 3 2 b.a 0
    R Token:u 10.0.0.1 5 4 kafka-cluster 1
    R User:v 0:0:0:0:0:0:0:1 5 2 abc 0
    R User:v 10.0.0.2 7 4 kafka-cluster 0
    W Group:v 0:0:0:0:0:0:0:1 4 2 1
    R User:u 10.0.0.1 3 2 * 0
    R User:g 0:0:0:0:0:0:0:1 5 2 b 0
    W User:u 0:0:0:0:0:0:0:1 4 3 0
    S User:root false
    A 2 b.a 3 User:v 0:0:0:0:0:0:0:1 7 3
    A 3 éa 3 User:* 10.0.0.2 11 3
    A 2 a 4 User:u * 6 3
    A 3 * 3 User:* 10.0.0.2 8 3
    A 2 a 3 User:* * 11 2
    A 2 * 3 User:* * 10 3
    A 2 b.a 4 User:u 10.0.0.2 6 3
    A 3 abd 3 User:v * 6 2
    R User:u 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    R User:g 0:0:0:0:0:0:0:1 3 2 éa 0
    R User:v 10.0.0.2 5 4 kafka-cluster 0
    W User:u 10.0.0.1 4 2 0
    R User:v 10.0.0.1 5 2 b.a 0
    R User:g 0:0:0:0:0:0:0:1 10 2 a 1
    R User:u 10.0.0.2 5 2 b.a 0
    R User:g 10.0.0.1 10 2 abcd 1
    W User:u 0:0:0:0:0:0:0:1 4 2 0
    R User:u 10.0.0.2 8 3 * 1
    R Token:u 10.0.0.2 3 2 a 0
    R User:u 10.0.0.1 8 3 a 0
    R User:g 0:0:0:0:0:0:0:1 8 2 c 0
    W User:u 0:0:0:0:0:0:0:1 4 3 0
    R Token:u 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    R User:u 0:0:0:0:0:0:0:1 8 4 kafka-cluster 0
    R Group:u 0:0:0:0:0:0:0:1 3 2 abcd 0
    R User:v 10.0.0.1 10 2 b.a 1
    W User:g 10.0.0.2 3 2 0
    R User:u 0:0:0:0:0:0:0:1 10 2 abc 1
    R User:u 10.0.0.2 3 2 b.a 0
    R User:u 0:0:0:0:0:0:0:1 4 2 b.a 0
    W User:g 10.0.0.1 8 3 0
    R Group:u 0:0:0:0:0:0:0:1 8 2 é 0
    R Token:g 0:0:0:0:0:0:0:1 3 2 é 0
    R Group:g 0:0:0:0:0:0:0:1 4 2 abcd 0
    R User:v 0:0:0:0:0:0:0:1 8 2 abc 0
    W Token:g 10.0.0.1 4 2 0
    R Group:g 10.0.0.1 4 3 ab 0
    R Token:u 10.0.0.2 10 2 abd 1
    R Group:g 0:0:0:0:0:0:0:1 3 2 ab 0
    R User:u 10.0.0.1 3 2 ab 0
    W User:v 10.0.0.2 4 3 0
    R Group:g 10.0.0.2 3 2 c 0
    R User:v 10.0.0.2 5 4 kafka-cluster 0
    R Group:u 10.0.0.2 3 3 éa 0
    R Token:u 0:0:0:0:0:0:0:1 3 2 abc 0
    W User:v 10.0.0.1 4 2 0
    R User:u 10.0.0.1 8 2 abd 1
    R User:v 10.0.0.1 10 2 abd 1
    R User:v 10.0.0.1 3 2 a 0
    W User:u 10.0.0.1 3 2 0
    R Group:g 10.0.0.1 8 3 abc 0
    R Group:g 10.0.0.1 5 3 abd 0
    R User:g 10.0.0.2 5 2 abd 0
    R User:u 10.0.0.2 12 4 kafka-cluster 0
    W User:g 10.0.0.1 4 3 0
    R Group:u 10.0.0.2 8 2 b 0
    R Group:u 10.0.0.1 8 2 éa 0
    R Token:u 0:0:0:0:0:0:0:1 4 2 é 0
    R User:g 0:0:0:0:0:0:0:1 10 2 ab 1
    W User:u 10.0.0.2 3 3 0
    R User:g 10.0.0.2 12 4 kafka-cluster 0
    R User:u 10.0.0.1 3 2 * 0
    R User:u 10.0.0.1 3 2 * 0
    W Group:g 0:0:0:0:0:0:0:1 4 3 0
    S User:v false
    A 2 b 3 User:u 10.0.0.2 7 3
    A 2 b.a 4 User:u * 11 2
    A 2 * 3 User:u 10.0.0.1 4 3
    A 3 éa 4 User:* * 2 3
    A 3 a 4 User:* * 8 2
    A 3 * 4 User:* 10.0.0.2 2 3
    A 2 * 3 Group:g * 7 3
    A 3 é 4 Token:u * 3 2
    A 4 kafka-cluster 3 User:u 0:0:0:0:0:0:0:1 7 2
    A 4 kafka-cluster 3 Group:g * 2 3
    A 3 ab 3 User:* 10.0.0.2 7 3
    R Token:g 10.0.0.1 8 4 kafka-cluster 0
    R Token:g 0:0:0:0:0:0:0:1 5 4 kafka-cluster 0
    R Group:u 0:0:0:0:0:0:0:1 5 2 a 0
    R User:v 10.0.0.1 8 2 abcd 1
    W Group:g 10.0.0.1 4 3 1
    R User:g 10.0.0.2 5 3 * 1
    R User:u 10.0.0.2 12 4 kafka-cluster 0
    R Group:v 10.0.0.1 4 2 * 0
    W User:u 10.0.0.1 4 3 1
    R User:v 10.0.0.1 7 4 kafka-cluster 1
    R Group:g 10.0.0.1 12 4 kafka-cluster 1
    R User:u 10.0.0.2 10 3 * 1
    R User:v 10.0.0.2 3 2 abc 1
    W Token:u 0:0:0:0:0:0:0:1 3 3 0
    R User:g 10.0.0.2 5 2 abd 0
    R Group:u 10.0.0.1 5 2 * 0
    R Group:u 10.0.0.1 10 2 éa 0
    R User:g 0:0:0:0:0:0:0:1 10 2 abc 0
    W User:u 10.0.0.1 8 3 1
    R User:u 0:0:0:0:0:0:0:1 3 2 * 0
    R User:u 0:0:0:0:0:0:0:1 8 2 abcd 0
    R Group:v 0:0:0:0:0:0:0:1 3 2 b.a 0
    W Group:v 0:0:0:0:0:0:0:1 3 3 1
    R User:g 10.0.0.2 3 2 a 0
    R Group:u 0:0:0:0:0:0:0:1 10 3 ab 0
    R Group:g 10.0.0.2 7 4 kafka-cluster 1
    R Token:u 10.0.0.1 5 2 abc 0
    W Group:u 10.0.0.2 4 3 1
    R User:u 0:0:0:0:0:0:0:1 10 2 c 0
    R User:g 10.0.0.1 5 4 kafka-cluster 0
    R Group:v 0:0:0:0:0:0:0:1 4 2 b 0
    R User:v 10.0.0.2 3 3 b.a 1
    W User:u 10.0.0.2 3 2 0
    R User:v 0:0:0:0:0:0:0:1 3 3 c 1
    R Token:u 10.0.0.2 7 4 kafka-cluster 0
    R User:u 10.0.0.1 5 2 éa 0
    R Token:u 10.0.0.2 8 2 a 0
    W Token:g 0:0:0:0:0:0:0:1 4 3 1
    R User:v 10.0.0.2 3 2 éa 1
    R User:g 10.0.0.1 7 4 kafka-cluster 0
    R User:g 10.0.0.2 4 2 a 0
    R User:u 0:0:0:0:0:0:0:1 5 2 a 0
    W User:u 0:0:0:0:0:0:0:1 8 3 1
    R User:u 10.0.0.1 5 2 ab 0
    R User:u 10.0.0.1 4 2 abc 1
    R Token:v 10.0.0.1 3 2 ab 0
    R User:u 10.0.0.2 3 3 éa 1
    W User:v 10.0.0.1 8 2 1
    R Token:v 0:0:0:0:0:0:0:1 3 3 a 0
    R User:u 10.0.0.2 8 2 a 0
    R User:g 10.0.0.2 3 2 b 0
    R Token:u 10.0.0.2 10 2 éa 0
    W User:u 10.0.0.2 3 3 1
    R User:u 10.0.0.1 10 2 abcd 0
    R User:u 10.0.0.1 8 2 * 1
    R User:u 0:0:0:0:0:0:0:1 12 4 kafka-cluster 0
    R User:u 10.0.0.1 12 4 kafka-cluster 0
    W Token:u 0:0:0:0:0:0:0:1 8 2 0
    S User:v false
    A 4 kafka-cluster 3 Token:u * 2 3
    A 2 éa 3 User:u * 6 3
    A 3 ab 4 Group:g * 2 3
    R User:v 0:0:0:0:0:0:0:1 8 2 a 1
    R User:g 10.0.0.1 4 3 * 0
    R User:u 0:0:0:0:0:0:0:1 3 3 b.a 0
    R Token:u 10.0.0.2 5 4 kafka-cluster 1
    W User:g 10.0.0.2 8 2 0
    R User:u 10.0.0.2 8 2 abcd 0
    R Token:u 10.0.0.1 4 3 * 0
    R Token:u 0:0:0:0:0:0:0:1 5 2 a 0
    R User:v 0:0:0:0:0:0:0:1 7 4 kafka-cluster 1
    W User:u 10.0.0.1 3 3 0
    R Group:g 10.0.0.1 10 2 abd 0
    R User:u 0:0:0:0:0:0:0:1 12 4 kafka-cluster 0
    R User:u 10.0.0.1 3 3 c 0
    R Group:v 0:0:0:0:0:0:0:1 5 2 abcd 0
    W User:v 10.0.0.2 3 3 1
    R User:u 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    R User:v 10.0.0.1 8 2 * 1
    R User:v 0:0:0:0:0:0:0:1 4 2 éa 1
    R Group:u 0:0:0:0:0:0:0:1 5 2 c 0
    W Token:g 0:0:0:0:0:0:0:1 8 3 0
    R User:v 10.0.0.2 4 2 a 1
    R Group:u 0:0:0:0:0:0:0:1 4 2 * 0
    R User:u 10.0.0.2 3 3 b 0
    R Token:g 10.0.0.1 4 2 abcd 0
    W User:g 10.0.0.1 4 2 0
    R User:u 10.0.0.2 3 2 a 0
    R Token:u 10.0.0.2 5 2 b.a 0
    R Group:u 0:0:0:0:0:0:0:1 5 2 b 0
    R Token:g 10.0.0.2 7 4 kafka-cluster 0
    W User:v 10.0.0.1 8 3 1
    R User:u 10.0.0.2 5 4 kafka-cluster 0
    R Token:u 10.0.0.1 8 2 abd 0
    R Token:v 10.0.0.2 5 2 * 0
    W User:g 10.0.0.2 4 3 0
    R User:g 10.0.0.1 5 2 é 0
    R User:v 10.0.0.2 8 2 * 1
    R User:u 10.0.0.2 8 2 b.a 0
    R User:u 0:0:0:0:0:0:0:1 3 2 b.a 0
    W User:v 10.0.0.2 3 3 1
    R User:u 0:0:0:0:0:0:0:1 3 2 b 0
    R Group:u 10.0.0.1 8 4 kafka-cluster 0
    R Group:u 10.0.0.1 8 4 kafka-cluster 0
    R User:g 10.0.0.2 12 4 kafka-cluster 0
    W Group:g 10.0.0.1 4 2 0
    R Group:g 10.0.0.2 5 3 abd 1
    R Token:u 10.0.0.1 12 4 kafka-cluster 1
    R Group:u 0:0:0:0:0:0:0:1 8 2 c 0
    R User:u 10.0.0.2 3 2 éa 0
    W Token:g 0:0:0:0:0:0:0:1 3 2 0
    R Group:g 10.0.0.2 3 3 abc 1
    R Group:u 10.0.0.1 8 3 * 0
    R User:u 10.0.0.2 4 2 b 0
    W Token:g 10.0.0.1 4 3 0
    R Group:v 0:0:0:0:0:0:0:1 3 3 b 0
    R User:u 10.0.0.1 3 3 é 0
    R User:u 0:0:0:0:0:0:0:1 8 2 c 0
    R User:u 10.0.0.2 5 2 * 0
    W User:u 0:0:0:0:0:0:0:1 3 3 0
    S User:root false
    A 3 abc 4 User:* 0:0:0:0:0:0:0:1 6 3
    A 4 kafka-cluster 3 User:* 10.0.0.1 2 3
    A 2 b.a 4 Token:u * 7 3
    A 2 ab 3 Group:g * 5 2
    A 2 é 3 User:u 10.0.0.2 6 3
    A 3 ab 4 User:u * 11 3
    R Token:u 0:0:0:0:0:0:0:1 8 2 abcd 0
    R User:g 10.0.0.1 5 2 c 0
    R Token:u 0:0:0:0:0:0:0:1 8 2 b.a 1
    W User:g 10.0.0.1 8 2 0
    R Group:u 0:0:0:0:0:0:0:1 8 4 kafka-cluster 0
    R User:v 10.0.0.2 8 3 c 0
    R Group:v 10.0.0.2 8 4 kafka-cluster 0
    W User:u 10.0.0.2 3 3 0
    R User:g 10.0.0.2 8 2 abd 0
    R Group:v 10.0.0.1 3 3 ab 0
    R User:v 10.0.0.2 10 2 é 0
    R User:u 10.0.0.2 10 2 a 0
    W Group:g 10.0.0.1 8 3 0
    R User:g 0:0:0:0:0:0:0:1 3 2 c 0
    R Group:u 10.0.0.1 5 2 abd 0
    R User:g 0:0:0:0:0:0:0:1 3 2 abcd 0
    R User:u 10.0.0.1 4 2 ab 0
    W Token:g 10.0.0.1 8 3 0
    R Group:g 10.0.0.2 8 2 c 0
    R User:u 10.0.0.1 4 2 é 0
    R Token:u 10.0.0.2 5 4 kafka-cluster 0
    R User:g 10.0.0.2 3 2 c 0
    W Token:v 10.0.0.2 4 3 0
    R User:u 0:0:0:0:0:0:0:1 8 2 ab 0
    R User:g 10.0.0.1 4 2 b 0
    R Group:u 10.0.0.1 4 2 c 0
    R User:u 10.0.0.2 3 3 abd 0
    W Token:v 10.0.0.1 4 2 0
    R User:v 0:0:0:0:0:0:0:1 10 2 b 0
    R User:v 10.0.0.2 8 3 ab 0
    R User:g 0:0:0:0:0:0:0:1 5 2 abc 0
    R Group:g 0:0:0:0:0:0:0:1 8 4 kafka-cluster 0
    W Token:u 10.0.0.1 3 2 0
    R Token:u 10.0.0.1 10 2 * 0
    R Token:u 10.0.0.2 3 3 b 0
    R User:u 10.0.0.1 8 2 b 0
    W Group:u 10.0.0.1 8 2 0
    R User:u 10.0.0.1 5 2 abd 0
    R User:u 10.0.0.1 8 2 é 0
    R Token:v 10.0.0.1 5 4 kafka-cluster 1
    R Group:u 10.0.0.2 3 2 a 0
    W Token:u 0:0:0:0:0:0:0:1 4 3 0
    R User:u 0:0:0:0:0:0:0:1 3 2 abd 0
    R Token:u 10.0.0.1 8 2 c 0
    W Token:u 0:0:0:0:0:0:0:1 3 3 0
    R User:u 10.0.0.1 8 3 c 0
    R User:v 10.0.0.2 5 2 é 0
    R User:v 10.0.0.2 8 4 kafka-cluster 0
    R Group:g 10.0.0.2 8 2 a 0
    W Group:u 10.0.0.2 8 3 0
    R User:u 0:0:0:0:0:0:0:1 4 2 ab 0
    R User:v 10.0.0.1 7 4 kafka-cluster 1
    R User:u 10.0.0.1 10 2 ab 0
    W User:g 10.0.0.1 4 3 0
    S User:root false
    A 2 * 4 Group:g * 6 3
    A 4 kafka-cluster 3 User:u * 5 3
    A 2 é 3 Token:u * 8 3
    A 2 a 4 Token:u * 3 2
    A 4 kafka-cluster 3 Token:u * 2 3
    A 3 b.a 3 Group:g 0:0:0:0:0:0:0:1 7 3
    A 2 a 3 User:u * 5 2
    A 2 b.a 4 User:u * 5 3
    A 2 *x 4 User:v 0:0:0:0:0:0:0:1 2 3
    A 3 a 3 User:u 0:0:0:0:0:0:0:1 4 3
    R User:u 10.0.0.1 12 4 kafka-cluster 0
    R Group:u 10.0.0.1 10 3 b 0
    R Token:u 0:0:0:0:0:0:0:1 3 2 a 0
    R Token:u 10.0.0.1 7 4 kafka-cluster 1
    W User:v 10.0.0.1 3 3 0
    R Token:u 10.0.0.1 4 3 b 0
    R User:u 10.0.0.1 3 2 é 0
    R User:v 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    R Group:g 0:0:0:0:0:0:0:1 3 2 abd 0
    W User:u 10.0.0.2 4 2 0
    R User:u 0:0:0:0:0:0:0:1 8 2 abd 0
    R User:u 0:0:0:0:0:0:0:1 3 2 b 0
    R Group:u 0:0:0:0:0:0:0:1 12 4 kafka-cluster 0
    W User:g 10.0.0.2 3 2 0
    R User:g 0:0:0:0:0:0:0:1 5 4 kafka-cluster 0
    R User:g 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    R User:g 10.0.0.2 8 2 abc 0
    R User:g 10.0.0.2 12 4 kafka-cluster 0
    W User:u 10.0.0.2 8 3 0
    R User:u 10.0.0.1 5 2 abd 0
    R Group:v 10.0.0.2 4 2 abd 0
    R User:u 10.0.0.2 10 2 é 0
    W Group:u 0:0:0:0:0:0:0:1 8 2 0
    R Token:v 0:0:0:0:0:0:0:1 5 4 kafka-cluster 0
    R Group:u 0:0:0:0:0:0:0:1 8 2 abd 0
    R Group:u 10.0.0.1 8 2 é 0
    R User:u 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    W User:v 0:0:0:0:0:0:0:1 8 3 0
    R Group:v 0:0:0:0:0:0:0:1 12 4 kafka-cluster 0
    R Token:u 10.0.0.1 12 4 kafka-cluster 1
    R User:u 10.0.0.1 8 4 kafka-cluster 0
    R User:u 10.0.0.1 8 2 abcd 0
    W User:g 10.0.0.1 4 3 0
    R Token:u 10.0.0.2 5 4 kafka-cluster 1
    R Group:u 0:0:0:0:0:0:0:1 8 4 kafka-cluster 0
    R Token:u 10.0.0.1 3 2 abcd 0
    R User:u 10.0.0.1 5 2 * 0
    W User:g 0:0:0:0:0:0:0:1 4 3 0
    R Token:v 10.0.0.1 8 2 c 0
    R User:u 10.0.0.2 3 3 ab 0
    R Group:u 10.0.0.1 3 3 éa 0
    R User:u 10.0.0.1 7 4 kafka-cluster 0
    W Group:g 10.0.0.2 3 2 0
    R User:u 0:0:0:0:0:0:0:1 10 2 abc 0
    R User:u 10.0.0.1 8 4 kafka-cluster 0
    R User:g 10.0.0.1 10 3 é 0
    R User:g 0:0:0:0:0:0:0:1 4 2 c 0
    W User:g 10.0.0.1 8 2 0
    R Token:g 0:0:0:0:0:0:0:1 8 4 kafka-cluster 0
    R User:u 10.0.0.2 8 4 kafka-cluster 0
    R User:u 10.0.0.2 10 2 abd 0
    R User:u 10.0.0.1 4 2 abcd 0
    W User:u 10.0.0.2 4 2 0
    R Group:u 10.0.0.2 8 3 c 0
    R Group:v 10.0.0.1 3 2 * 0
    R Token:u 0:0:0:0:0:0:0:1 12 4 kafka-cluster 1
    R Group:v 10.0.0.2 3 2 b.a 0
    W Group:u 0:0:0:0:0:0:0:1 4 2 0
    S User:root false
    A 2 é 3 User:* * 6 3
    A 3 a 3 Group:g 10.0.0.2 6 3
    A 2 b.a 3 User:u 10.0.0.2 4 3
    A 2 b.a 4 Token:u * 7 3
    A 2 ab 3 Token:u 10.0.0.1 3 3
    A 4 kafka-cluster 3 User:u * 2 3
    A 2 abd 4 Group:g 10.0.0.1 7 3
    A 4 kafka-cluster 3 User:* 0:0:0:0:0:0:0:1 7 3
    A 3 * 3 Group:g * 7 3
    A 4 kafka-cluster 3 User:* 10.0.0.1 7 3
    A 3 *x 3 User:u * 10 3
    A 4 kafka-cluster 3 User:v * 7 3
    A 3 éa 4 User:v 10.0.0.1 2 3
    R User:g 10.0.0.1 4 3 c 0
    R Group:u 10.0.0.1 3 2 c 0
    R User:v 10.0.0.1 8 2 c 0
    R User:u 10.0.0.2 5 2 abd 0
    W Token:u 10.0.0.1 3 2 1
    R User:g 10.0.0.2 3 2 * 0
    R User:g 0:0:0:0:0:0:0:1 7 4 kafka-cluster 1
    R Group:v 10.0.0.2 12 4 kafka-cluster 0
    R User:u 10.0.0.2 8 2 a 0
    W Group:g 0:0:0:0:0:0:0:1 8 3 1
    R User:g 0:0:0:0:0:0:0:1 8 2 * 0
    R User:u 10.0.0.1 12 4 kafka-cluster 1
    R Token:g 0:0:0:0:0:0:0:1 4 3 b.a 0
    R User:u 10.0.0.2 10 2 * 0
    W User:u 10.0.0.1 4 2 0
    R Group:v 0:0:0:0:0:0:0:1 3 2 b 0
    R Group:v 10.0.0.1 4 2 abc 0
    R User:u 10.0.0.2 3 2 abc 0
    R Group:g 10.0.0.1 3 3 ab 0
    W User:g 10.0.0.1 8 2 0
    R Token:v 10.0.0.2 4 2 éa 0
    R User:v 0:0:0:0:0:0:0:1 8 2 b.a 0
    R Group:g 0:0:0:0:0:0:0:1 4 2 abd 0
    R User:u 10.0.0.1 3 2 c 0
    W User:v 10.0.0.2 4 3 0
    R User:g 10.0.0.1 4 2 abcd 0
    R User:g 10.0.0.1 10 2 b 0
    R User:u 0:0:0:0:0:0:0:1 8 2 b 0
    W Group:u 10.0.0.2 8 2 0
    R Token:u 0:0:0:0:0:0:0:1 12 4 kafka-cluster 0
    R Group:v 0:0:0:0:0:0:0:1 3 3 c 0
    R Token:g 0:0:0:0:0:0:0:1 8 4 kafka-cluster 1
    W Group:u 10.0.0.1 8 2 0
    R User:g 0:0:0:0:0:0:0:1 8 4 kafka-cluster 1
    R User:u 10.0.0.1 8 2 c 0
    R User:g 10.0.0.2 5 3 ab 0
    R Token:u 0:0:0:0:0:0:0:1 5 2 abc 0
    W Group:v 0:0:0:0:0:0:0:1 3 3 0
    R Token:v 0:0:0:0:0:0:0:1 12 4 kafka-cluster 0
    R Token:v 10.0.0.2 8 4 kafka-cluster 0
    R Group:u 10.0.0.1 7 4 kafka-cluster 1
    W Group:u 0:0:0:0:0:0:0:1 3 2 0
    R Token:u 10.0.0.1 8 2 b 0
    R Token:v 10.0.0.1 3 2 * 0
    R User:u 10.0.0.1 5 2 b.a 0
    R User:u 10.0.0.2 8 2 c 0
    W User:u 10.0.0.2 8 2 0
    R Token:v 0:0:0:0:0:0:0:1 8 2 c 0
    R User:g 10.0.0.1 3 2 abcd 0
    R Token:g 10.0.0.1 5 4 kafka-cluster 0
    R Group:v 10.0.0.2 8 3 abd 0
    W Group:g 10.0.0.2 3 3 0
    R User:v 0:0:0:0:0:0:0:1 4 2 a 0
    R Group:u 10.0.0.2 8 2 c 0
    R Token:g 0:0:0:0:0:0:0:1 3 2 abc 0
    R User:v 10.0.0.2 4 2 a 0
    W Group:v 10.0.0.2 4 2 0
    S User:root false
    A 3 b 3 User:u * 5 3
    A 3 b 4 User:u 0:0:0:0:0:0:0:1 3 2
    A 3 * 4 User:u * 3 3
    A 3 ab 4 Group:g 10.0.0.2 11 3
    A 2 *x 4 User:v 0:0:0:0:0:0:0:1 10 3
    R Group:u 10.0.0.2 8 3 éa 0
    R Group:u 0:0:0:0:0:0:0:1 5 2 a 0
    R User:u 10.0.0.2 3 2 abc 0
    W User:v 10.0.0.1 3 3 0
    R User:g 10.0.0.1 8 2 abc 0
    R User:u 10.0.0.1 3 2 abd 0
    R User:u 10.0.0.2 7 4 kafka-cluster 0
    W User:u 0:0:0:0:0:0:0:1 3 3 1
    R Token:u 10.0.0.2 8 4 kafka-cluster 0
    R User:g 0:0:0:0:0:0:0:1 5 2 abc 0
    R User:u 0:0:0:0:0:0:0:1 8 2 abc 0
    R Group:g 0:0:0:0:0:0:0:1 3 2 b.a 0
    W Group:g 10.0.0.1 3 2 0
    R User:v 0:0:0:0:0:0:0:1 4 2 abd 0
    R Group:v 10.0.0.2 5 2 é 0
    R User:u 10.0.0.2 5 2 abd 0
    W User:u 0:0:0:0:0:0:0:1 4 2 0
    R User:u 10.0.0.1 3 3 abd 0
    R User:u 10.0.0.1 8 2 éa 0
    W User:u 0:0:0:0:0:0:0:1 3 2 0
    R User:g 10.0.0.2 5 4 kafka-cluster 0
    R Token:g 0:0:0:0:0:0:0:1 3 2 a 0
    R User:u 10.0.0.2 5 4 kafka-cluster 0
    R User:u 10.0.0.1 10 2 éa 0
    W Token:v 10.0.0.1 4 2 0
    R Token:g 10.0.0.1 8 2 éa 0
    R User:g 10.0.0.2 3 3 c 0
    R User:u 10.0.0.1 12 4 kafka-cluster 0
    W User:u 0:0:0:0:0:0:0:1 3 2 0
    R Group:v 0:0:0:0:0:0:0:1 3 2 éa 0
    R Group:g 10.0.0.2 10 2 a 0
    R Token:u 0:0:0:0:0:0:0:1 10 2 abcd 0
    R User:g 10.0.0.1 3 2 * 0
    W User:u 10.0.0.2 4 2 0
    R Group:v 10.0.0.2 5 2 éa 0
    R User:v 0:0:0:0:0:0:0:1 8 4 kafka-cluster 0
    R User:u 10.0.0.1 8 4 kafka-cluster 0
    R User:u 10.0.0.1 3 2 abd 0
    W User:g 10.0.0.2 4 3 0
    R Token:u 0:0:0:0:0:0:0:1 8 3 b.a 0
    R Group:v 0:0:0:0:0:0:0:1 5 2 c 0
    R User:u 0:0:0:0:0:0:0:1 8 3 ab 0
    R User:u 0:0:0:0:0:0:0:1 3 3 * 1
    W Group:u 10.0.0.1 8 3 0
    R Group:u 0:0:0:0:0:0:0:1 4 2 a 0
    R User:g 10.0.0.2 8 4 kafka-cluster 0
    R Group:g 0:0:0:0:0:0:0:1 3 3 b.a 0
    R Token:g 10.0.0.1 8 3 b 0
    W User:g 0:0:0:0:0:0:0:1 4 2 0
    R Group:v 10.0.0.1 3 3 * 0
    R Token:v 10.0.0.1 4 2 abcd 0
    R Token:u 10.0.0.1 3 2 éa 0
    R Group:v 10.0.0.1 3 2 abcd 0
    W Token:u 0:0:0:0:0:0:0:1 3 3 0
    S User:v false
    A 2 * 4 User:u * 6 3
    A 2 a 3 Group:g * 11 3
    A 3 abd 4 Token:u * 7 3
    A 3 *x 3 Token:u * 11 2
    A 2 * 4 User:v 10.0.0.1 8 3
    A 2 abc 4 User:v * 10 3
    A 4 kafka-cluster 3 User:v 10.0.0.2 12 3
    R Group:u 10.0.0.2 8 3 é 0
    R User:u 10.0.0.2 8 3 b 0
    R User:g 10.0.0.1 3 2 abcd 0
    R User:g 10.0.0.2 10 2 * 0
    W User:g 10.0.0.1 8 3 0
    R User:g 0:0:0:0:0:0:0:1 3 3 b 0
    R Group:u 10.0.0.1 8 2 c 0
    R Group:u 0:0:0:0:0:0:0:1 10 3 abcd 0
    W User:u 0:0:0:0:0:0:0:1 4 2 0
    R User:u 10.0.0.1 10 2 b 0
    R Token:u 10.0.0.2 4 3 abd 0
    R User:v 10.0.0.2 8 2 abd 1
    R Token:u 10.0.0.1 5 4 kafka-cluster 0
    W Token:u 0:0:0:0:0:0:0:1 3 3 0
    R User:g 10.0.0.1 10 2 é 0
    R User:u 0:0:0:0:0:0:0:1 3 2 abd 0
    R Group:u 10.0.0.2 12 4 kafka-cluster 0
    R Group:u 10.0.0.2 12 4 kafka-cluster 0
    W Token:g 10.0.0.1 3 2 0
    R User:u 10.0.0.1 10 2 é 0
    R User:g 10.0.0.1 3 2 abd 0
    R Token:v 10.0.0.2 4 3 éa 0
    R Group:u 10.0.0.1 5 4 kafka-cluster 0
    W Group:u 10.0.0.1 8 2 0
    R User:u 10.0.0.1 8 3 é 0
    R User:v 0:0:0:0:0:0:0:1 12 4 kafka-cluster 1
    R User:u 0:0:0:0:0:0:0:1 8 2 abd 0
    W Token:v 10.0.0.2 3 3 0
    R User:u 10.0.0.1 3 2 * 0
    R User:u 0:0:0:0:0:0:0:1 4 2 c 0
    R Group:u 10.0.0.2 5 4 kafka-cluster 0
    R User:g 0:0:0:0:0:0:0:1 3 2 éa 0
    W User:u 10.0.0.2 4 3 0
    R User:v 10.0.0.2 10 2 é 1
    R User:g 10.0.0.2 3 2 ab 0
    R User:g 0:0:0:0:0:0:0:1 4 2 abc 0
    R User:u 0:0:0:0:0:0:0:1 8 2 é 0
    W User:u 0:0:0:0:0:0:0:1 4 3 0
    R Group:v 10.0.0.1 8 4 kafka-cluster 0
    R Token:u 10.0.0.2 8 3 c 0
    R User:u 10.0.0.2 4 2 b 0
    W User:u 10.0.0.1 4 2 0
    R User:g 10.0.0.1 4 2 ab 0
    R User:u 10.0.0.1 4 2 éa 0
    R Group:g 0:0:0:0:0:0:0:1 3 2 éa 0
    W Group:u 10.0.0.2 3 3 0
    R User:g 0:0:0:0:0:0:0:1 5 2 abd 0
    R Group:v 10.0.0.1 12 4 kafka-cluster 0
    R User:u 10.0.0.2 10 2 c 0
    W Token:u 0:0:0:0:0:0:0:1 8 3 0
    R User:u 0:0:0:0:0:0:0:1 8 2 b.a 0
    R User:g 0:0:0:0:0:0:0:1 12 4 kafka-cluster 0
    R User:u 10.0.0.2 8 2 * 1
    R Token:u 10.0.0.1 4 2 é 0
    W User:g 0:0:0:0:0:0:0:1 3 2 0
    S User:root false
    A 2 abc 3 Group:g 10.0.0.2 7 3
    A 3 éa 3 User:u 10.0.0.2 2 2
    A 4 kafka-cluster 3 User:* 0:0:0:0:0:0:0:1 12 3
    A 4 kafka-cluster 3 User:* * 12 2
    A 2 abd 3 User:* 0:0:0:0:0:0:0:1 4 3
    R User:u 10.0.0.1 3 2 * 0
    R User:u 0:0:0:0:0:0:0:1 5 4 kafka-cluster 0
    R User:u 10.0.0.2 5 2 a 0
    W Group:u 0:0:0:0:0:0:0:1 4 3 0
    R User:g 10.0.0.1 8 2 é 0
    R User:v 10.0.0.2 3 2 b 0
    R User:g 10.0.0.2 8 2 abd 0
    R User:v 10.0.0.1 3 2 abc 0
    W User:v 10.0.0.2 8 2 0
    R Group:u 0:0:0:0:0:0:0:1 5 2 abcd 0
    R User:u 0:0:0:0:0:0:0:1 8 3 abc 0
    R User:u 10.0.0.2 5 4 kafka-cluster 0
    W Token:u 10.0.0.2 3 2 0
    R User:v 10.0.0.2 8 3 abcd 0
    R User:g 10.0.0.1 10 2 é 0
    R Group:u 10.0.0.1 3 3 abd 0
    W Group:u 10.0.0.1 4 2 0
    R Token:v 10.0.0.2 10 2 ab 0
    R User:u 10.0.0.2 5 4 kafka-cluster 0
    R Token:v 0:0:0:0:0:0:0:1 5 4 kafka-cluster 0
    R User:v 10.0.0.1 4 2 abcd 0
    W User:v 0:0:0:0:0:0:0:1 4 3 0
    R Group:u 0:0:0:0:0:0:0:1 4 2 b 0
    R User:u 10.0.0.2 3 3 é 0
    R User:u 10.0.0.2 7 4 kafka-cluster 0
    R User:u 10.0.0.2 8 3 abd 0
    W Token:u 0:0:0:0:0:0:0:1 3 3 0
    R Token:u 0:0:0:0:0:0:0:1 3 3 c 0
    R Group:u 10.0.0.2 8 2 * 0
    R User:v 0:0:0:0:0:0:0:1 10 2 abc 0
    R Token:u 0:0:0:0:0:0:0:1 4 2 ab 0
    W Group:u 0:0:0:0:0:0:0:1 8 2 0
    R User:g 10.0.0.2 8 2 abc 0
    R User:u 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    R User:u 0:0:0:0:0:0:0:1 5 2 éa 0
    W Group:u 0:0:0:0:0:0:0:1 8 2 0
    R User:u 0:0:0:0:0:0:0:1 3 3 abc 0
    R User:u 0:0:0:0:0:0:0:1 12 4 kafka-cluster 0
    R Token:g 10.0.0.1 4 2 ab 0
    R Token:v 0:0:0:0:0:0:0:1 8 4 kafka-cluster 0
    W User:u 10.0.0.1 4 2 0
    R User:v 0:0:0:0:0:0:0:1 4 2 b.a 0
    R User:u 0:0:0:0:0:0:0:1 10 3 a 0
    R User:u 0:0:0:0:0:0:0:1 3 2 ab 0
    R Group:v 0:0:0:0:0:0:0:1 10 2 c 0
    W Group:g 10.0.0.1 4 3 0
    R Group:u 0:0:0:0:0:0:0:1 12 4 kafka-cluster 0
    R User:u 0:0:0:0:0:0:0:1 3 2 * 0
    R User:u 10.0.0.1 3 2 abc 0
    R Token:g 10.0.0.2 10 2 éa 0
    W Group:u 10.0.0.2 8 3 0
    R User:g 10.0.0.1 7 4 kafka-cluster 0
    R User:u 10.0.0.2 5 4 kafka-cluster 0
    R Group:u 10.0.0.2 8 2 b 0
    R User:u 10.0.0.2 3 3 a 0
    W User:v 0:0:0:0:0:0:0:1 8 2 0
    S User:root false
    A 2 ab 3 User:* * 10 3
    A 2 b.a 4 User:* * 2 2
    A 4 kafka-cluster 3 Token:u 10.0.0.1 2 3
    A 2 *x 4 User:u * 5 3
    A 3 abc 3 User:* * 7 3
    A 2 ab 3 User:u 10.0.0.2 10 3
    A 4 kafka-cluster 3 User:v 10.0.0.2 2 3
    A 2 abc 3 User:u 0:0:0:0:0:0:0:1 7 3
    R Group:v 10.0.0.2 5 2 abc 0
    R User:g 10.0.0.2 4 2 é 0
    R Group:g 0:0:0:0:0:0:0:1 10 2 b.a 0
    R User:v 10.0.0.1 8 2 abd 0
    W Token:u 10.0.0.1 8 3 0
    R User:u 0:0:0:0:0:0:0:1 4 3 éa 0
    R User:u 0:0:0:0:0:0:0:1 8 2 b.a 0
    R Token:u 0:0:0:0:0:0:0:1 8 2 c 0
    R User:g 0:0:0:0:0:0:0:1 8 2 abc 0
    W User:u 10.0.0.1 4 3 0
    R User:u 10.0.0.1 8 2 b 0
    R Group:v 10.0.0.2 10 2 * 0
    R User:v 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    R Group:v 10.0.0.1 3 2 abd 0
    W Group:u 10.0.0.1 8 3 0
    R Group:u 10.0.0.1 5 3 b.a 0
    R Token:u 10.0.0.2 5 4 kafka-cluster 0
    R Group:u 10.0.0.1 3 3 * 0
    W Token:u 10.0.0.1 3 2 0
    R User:v 0:0:0:0:0:0:0:1 8 2 b.a 0
    R User:g 0:0:0:0:0:0:0:1 8 4 kafka-cluster 0
    R User:g 10.0.0.1 8 2 a 0
    R Group:u 10.0.0.2 3 3 b 0
    W User:g 10.0.0.2 3 3 0
    R Token:u 10.0.0.1 5 3 abd 0
    R Token:u 10.0.0.2 4 2 c 0
    R User:g 10.0.0.2 5 2 b.a 0
    R User:v 10.0.0.1 5 2 * 0
    W User:u 10.0.0.2 3 3 0
    R User:u 0:0:0:0:0:0:0:1 8 2 abc 1
    R User:u 10.0.0.1 5 2 abd 0
    R User:u 10.0.0.2 3 2 éa 0
    R Token:g 10.0.0.1 3 3 ab 0
    W Group:g 10.0.0.1 3 2 0
    R User:v 10.0.0.1 8 3 c 0
    R Group:u 0:0:0:0:0:0:0:1 8 2 a 0
    R User:g 10.0.0.2 5 4 kafka-cluster 0
    R User:u 10.0.0.2 4 3 éa 0
    W User:g 0:0:0:0:0:0:0:1 8 3 0
    R User:u 0:0:0:0:0:0:0:1 8 2 é 0
    R User:v 10.0.0.2 12 4 kafka-cluster 1
    R User:u 0:0:0:0:0:0:0:1 3 3 abc 0
    W User:g 10.0.0.1 3 2 0
    R User:u 0:0:0:0:0:0:0:1 5 2 é 0
    R User:v 10.0.0.2 10 2 ab 1
    R User:g 10.0.0.1 5 2 ab 0
    R Token:g 10.0.0.2 12 4 kafka-cluster 0
    W User:u 0:0:0:0:0:0:0:1 8 3 0
    R User:g 10.0.0.2 5 2 abc 0
    R Group:v 0:0:0:0:0:0:0:1 3 2 é 0
    R Token:u 10.0.0.2 12 4 kafka-cluster 0
    R User:g 10.0.0.1 8 3 abc 1
    W User:u 10.0.0.1 4 3 0
    R User:u 10.0.0.2 3 2 ab 0
    R User:u 10.0.0.2 8 4 kafka-cluster 0
    R Group:v 0:0:0:0:0:0:0:1 10 3 abd 0
    R User:u 10.0.0.1 4 2 abcd 0
    W User:u 10.0.0.1 8 2 0
    S User:root false
    R User:u 10.0.0.2 8 2 abc 0
    R User:u 10.0.0.2 8 3 abc 0
    R User:u 0:0:0:0:0:0:0:1 4 2 abc 0
    R User:v 10.0.0.2 5 2 ab 0
    W User:g 10.0.0.1 3 2 0
    R User:u 10.0.0.1 8 4 kafka-cluster 0
    R User:v 10.0.0.2 8 4 kafka-cluster 0
    R Token:v 10.0.0.1 8 2 éa 0
    R User:g 10.0.0.2 10 3 b 0
    W User:u 10.0.0.1 4 3 0
    R User:v 0:0:0:0:0:0:0:1 8 2 b.a 0
    R User:u 10.0.0.2 3 3 abd 0
    R User:u 10.0.0.1 8 2 b.a 0
    W Group:u 10.0.0.1 4 3 0
    R User:v 10.0.0.2 8 4 kafka-cluster 0
    R User:g 10.0.0.1 8 2 c 0
    R Token:u 10.0.0.2 7 4 kafka-cluster 0
    R User:u 10.0.0.2 5 2 b.a 0
    W User:g 0:0:0:0:0:0:0:1 4 2 0
    R User:g 0:0:0:0:0:0:0:1 8 3 a 0
    R Group:v 10.0.0.2 7 4 kafka-cluster 0
    R Group:g 10.0.0.1 12 4 kafka-cluster 0
    R User:u 10.0.0.1 4 2 ab 0
    W Token:v 0:0:0:0:0:0:0:1 8 2 0
    R Group:g 10.0.0.2 5 3 abc 0
    R Group:v 10.0.0.2 3 2 é 0
    R User:u 10.0.0.1 7 4 kafka-cluster 0
    R Group:u 10.0.0.1 8 4 kafka-cluster 0
    W User:u 10.0.0.2 4 2 0
    R Token:u 0:0:0:0:0:0:0:1 8 2 ab 0
    R User:u 10.0.0.1 5 2 ab 0
    R Group:g 10.0.0.2 12 4 kafka-cluster 0
    R User:u 0:0:0:0:0:0:0:1 8 2 ab 0
    W User:u 0:0:0:0:0:0:0:1 4 2 0
    R User:v 10.0.0.1 12 4 kafka-cluster 0
    R User:g 0:0:0:0:0:0:0:1 5 4 kafka-cluster 0
    R User:g 10.0.0.1 8 3 abd 0
    W User:u 10.0.0.2 3 3 0
    R User:u 0:0:0:0:0:0:0:1 3 2 a 0
    R User:u 10.0.0.1 3 2 a 0
    R Group:v 0:0:0:0:0:0:0:1 3 2 c 0
    R Token:u 10.0.0.1 5 3 abcd 0
    W User:u 10.0.0.1 4 2 0
    R Group:u 10.0.0.1 5 4 kafka-cluster 0
    R Token:u 10.0.0.1 3 3 * 0
    R User:u 10.0.0.1 5 2 abc 0
    R User:u 0:0:0:0:0:0:0:1 3 2 éa 0
    W Group:u 0:0:0:0:0:0:0:1 4 3 0
    R User:v 0:0:0:0:0:0:0:1 8 2 b.a 0
    R User:v 0:0:0:0:0:0:0:1 5 3 é 0
    R Token:v 10.0.0.1 8 3 a 0
    R Token:v 10.0.0.1 5 4 kafka-cluster 0
    W User:g 0:0:0:0:0:0:0:1 8 3 0
    R Group:u 10.0.0.1 8 2 ab 0
    R User:u 0:0:0:0:0:0:0:1 5 3 a 0
    R User:g 10.0.0.2 3 3 a 0
    R User:v 0:0:0:0:0:0:0:1 8 2 c 0
    W Token:u 0:0:0:0:0:0:0:1 4 3 0
    S User:v false
    A 3 a 4 User:u 10.0.0.2 11 3
    A 4 kafka-cluster 3 User:* 10.0.0.1 12 3
    R Token:u 10.0.0.1 4 2 abd 0
    R User:g 10.0.0.2 10 2 b 0
    R User:u 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    R User:g 10.0.0.2 10 2 a 0
    W Token:v 10.0.0.1 4 3 0
    R User:u 0:0:0:0:0:0:0:1 4 3 a 0
    R Group:g 10.0.0.2 8 3 abcd 0
    R User:u 0:0:0:0:0:0:0:1 4 3 b 0
    W Group:g 10.0.0.1 4 2 0
    R User:u 10.0.0.1 8 3 ab 0
    R User:u 10.0.0.2 8 2 abcd 0
    R Group:g 0:0:0:0:0:0:0:1 5 2 a 0
    R User:u 10.0.0.1 12 4 kafka-cluster 1
    W User:u 0:0:0:0:0:0:0:1 4 2 0
    R Token:v 10.0.0.2 5 2 abcd 0
    R User:u 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    R User:u 10.0.0.2 7 4 kafka-cluster 0
    R User:v 10.0.0.1 8 2 abcd 1
    W Token:u 10.0.0.1 4 3 0
    R Token:u 10.0.0.1 8 2 abcd 0
    R User:u 10.0.0.1 3 2 ab 0
    R Token:v 0:0:0:0:0:0:0:1 4 2 abd 0
    W User:u 10.0.0.2 8 2 0
    R User:u 10.0.0.2 8 2 abc 0
    R Group:g 10.0.0.1 4 2 * 0
    R User:g 0:0:0:0:0:0:0:1 3 2 b 0
    R User:v 10.0.0.1 5 3 abcd 1
    W User:g 10.0.0.1 3 2 0
    R User:v 10.0.0.1 5 4 kafka-cluster 1
    R Token:u 10.0.0.1 5 4 kafka-cluster 0
    R User:v 0:0:0:0:0:0:0:1 8 2 éa 1
    W User:u 10.0.0.2 4 3 0
    R Token:v 0:0:0:0:0:0:0:1 5 4 kafka-cluster 0
    R User:u 10.0.0.1 3 2 ab 0
    R Group:v 10.0.0.2 5 3 b.a 0
    W User:u 10.0.0.1 3 2 0
    R Token:u 10.0.0.1 8 2 b 0
    R Group:u 10.0.0.2 8 4 kafka-cluster 0
    R User:v 0:0:0:0:0:0:0:1 8 3 abd 1
    R Group:u 10.0.0.2 8 2 abcd 0
    W User:u 0:0:0:0:0:0:0:1 4 2 0
    R User:v 0:0:0:0:0:0:0:1 3 2 c 1
    R Group:v 10.0.0.1 3 2 ab 0
    R User:u 0:0:0:0:0:0:0:1 3 3 a 0
    R Token:v 0:0:0:0:0:0:0:1 4 2 b.a 0
    W User:u 10.0.0.1 4 3 0
    R Token:u 0:0:0:0:0:0:0:1 3 3 b 0
    R Group:v 0:0:0:0:0:0:0:1 3 2 ab 0
    R User:u 10.0.0.2 3 2 ab 0
    R User:u 10.0.0.1 4 2 a 0
    W Group:g 10.0.0.2 4 3 0
    R User:u 0:0:0:0:0:0:0:1 3 2 b 0
    R User:u 0:0:0:0:0:0:0:1 10 2 * 0
    R Token:g 10.0.0.1 10 2 abc 0
    W User:u 10.0.0.1 3 2 0
    S User:root false
    R Group:u 10.0.0.1 12 4 kafka-cluster 0
    R User:g 10.0.0.1 5 3 é 0
    R Token:g 10.0.0.1 8 2 abcd 0
    R Group:u 10.0.0.2 4 3 abd 0
    W User:v 10.0.0.1 4 2 0
    R Group:u 10.0.0.1 7 4 kafka-cluster 0
    R Token:u 10.0.0.2 7 4 kafka-cluster 0
    R User:g 0:0:0:0:0:0:0:1 10 2 abcd 0
    R Token:g 10.0.0.1 4 2 a 0
    W Token:g 10.0.0.1 4 2 0
    R User:g 10.0.0.1 10 2 * 0
    R Token:u 0:0:0:0:0:0:0:1 3 2 éa 0
    R User:u 10.0.0.2 3 2 éa 0
    R User:u 10.0.0.1 8 3 * 0
    W Token:v 10.0.0.1 3 2 0
    R Token:v 10.0.0.2 10 3 ab 0
    R Token:v 10.0.0.1 5 4 kafka-cluster 0
    R Token:g 10.0.0.2 3 2 * 0
    R User:v 10.0.0.2 3 2 a 0
    W User:v 10.0.0.2 4 3 0
    R User:u 10.0.0.2 12 4 kafka-cluster 0
    R Token:v 10.0.0.1 8 3 c 0
    R User:u 0:0:0:0:0:0:0:1 3 3 abcd 0
    R User:g 10.0.0.2 3 2 abd 0
    W User:u 10.0.0.2 4 3 0
    R Token:v 10.0.0.1 3 3 ab 0
    R Token:u 10.0.0.1 4 2 b 0
    R User:g 10.0.0.2 8 3 b.a 0
    R User:u 10.0.0.1 5 4 kafka-cluster 0
    W Token:u 10.0.0.2 8 2 0
    R User:g 10.0.0.2 10 2 abcd 0
    R User:u 10.0.0.2 10 2 * 0
    R Token:v 0:0:0:0:0:0:0:1 5 3 b 0
    W User:u 10.0.0.1 8 3 0
    R User:g 10.0.0.1 8 2 c 0
    R User:u 10.0.0.2 8 4 kafka-cluster 0
    R User:g 10.0.0.2 8 2 abc 0
    R User:g 10.0.0.1 7 4 kafka-cluster 0
    W Group:v 10.0.0.2 4 3 0
    R User:g 0:0:0:0:0:0:0:1 8 2 * 0
    R User:g 0:0:0:0:0:0:0:1 8 4 kafka-cluster 0
    R Token:v 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    R User:g 10.0.0.2 4 2 abd 0
    W Token:u 10.0.0.2 4 3 0
    R Group:g 0:0:0:0:0:0:0:1 8 2 abd 0
    R Token:u 0:0:0:0:0:0:0:1 5 3 abd 0
    R User:g 10.0.0.1 8 2 a 0
    R Token:u 10.0.0.1 5 2 abd 0
    W User:u 0:0:0:0:0:0:0:1 4 2 0
    R User:u 10.0.0.2 10 2 éa 0
    R User:u 10.0.0.1 3 2 é 0
    R User:u 10.0.0.1 10 2 b 0
    R User:u 0:0:0:0:0:0:0:1 7 4 kafka-cluster 0
    W User:g 10.0.0.2 8 2 0
    R Token:u 10.0.0.1 4 3 * 0
    R Group:v 10.0.0.1 4 2 * 0
    R User:g 0:0:0:0:0:0:0:1 10 2 * 0
    W User:v 10.0.0.1 4 2 0
    """
