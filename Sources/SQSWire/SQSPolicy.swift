import ByteBuffers
import KafkaModel
import Security

/// The access policy of a queue, as AddPermission and RemovePermission change it. It is kept and shown, and decides nothing: who may
/// is the broker's access control lists' to say.
public enum SQSPolicy {
    /// The policy with a statement more. Refused: a policy that has one of that label, or one that is no policy, or too long a one.
    public static func adding(
        label: String, accounts: [String], actions: [String], to policy: String?, of queue: SQSQueueName,
        region: String
    ) throws(SQSError) -> String {
        var statements = try Self.statements(of: policy)
        guard !statements.contains(where: { $0["Sid"]?.text == label }) else {
            throw .invalid(label, "Label", "Already exists.")
        }
        let principals = accounts.map { StrictJSON.string(ExactString("arn:aws:iam::\($0):root")) }
        let names = actions.map { StrictJSON.string(ExactString("SQS:\($0)")) }
        statements.append(
            .object([
                "Sid": .string(ExactString(label)), "Effect": .string("Allow"),
                "Principal": .object(["AWS": principals.count == 1 ? principals[0] : .array(principals)]),
                "Action": names.count == 1 ? names[0] : .array(names),
                "Resource": .string(ExactString(SQSResourceName.text(queue, region: region))),
            ]))
        let text = Self.text(statements, of: policy, queue)
        guard text.utf8.count <= SQSLimits.maxAttributeBytes else {
            throw SQSError(.overLimit, "The policy would be longer than \(SQSLimits.maxAttributeBytes) bytes.")
        }
        return text
    }

    /// The policy without the statement of a label; empty: nothing is left of it.
    public static func removing(
        label: String, from policy: String?, of queue: SQSQueueName
    ) throws(SQSError) -> String {
        let statements = try Self.statements(of: policy)
        let left = statements.filter { $0["Sid"]?.text != label }
        guard left.count < statements.count else {
            throw .invalid(label, "Label", "can't find label on existing policy.")
        }
        return left.isEmpty ? "" : Self.text(left, of: policy, queue)
    }

    static func checkedAccounts(_ accounts: [String]) throws(SQSError) -> [String] {
        guard accounts.count <= SQSLimits.maxPermissionItems else {
            throw SQSError(.overLimit, "A permission names at most \(SQSLimits.maxPermissionItems) accounts.")
        }
        for account in accounts where account != "*" && SQSText.number(account) == nil {
            throw .invalid(account, "PrincipalId", "Unable to verify.")
        }
        return accounts
    }

    static func checkedActions(_ actions: [String]) throws(SQSError) -> [String] {
        guard actions.count <= SQSLimits.maxPermissionItems else {
            throw SQSError(.overLimit, "A permission names at most \(SQSLimits.maxPermissionItems) actions.")
        }
        for action in actions where action != "*" && SQSOperation(rawValue: action) == nil {
            throw .invalid(action, "ActionName", "It is no action of this service.")
        }
        return actions
    }

    private static func statements(of policy: String?) throws(SQSError) -> [StrictJSON] {
        guard let policy, !policy.isEmpty else { return [] }
        guard let json = StrictJSON(parsing: Array(policy.utf8)) else {
            throw SQSError(.invalidAttributeValue, "Invalid value for the parameter Policy.")
        }
        switch json["Statement"] {
        case nil: return []
        case .array(let statements)?: return statements
        case let one?: return [one]
        }
    }

    private static func text(_ statements: [StrictJSON], of policy: String?, _ queue: SQSQueueName) -> String {
        var members: [ExactString: StrictJSON] = [
            "Version": .string("2012-10-17"), "Id": .string(ExactString("\(queue.text)/SQSDefaultPolicy")),
        ]
        if let policy, case .object(let kept)? = StrictJSON(parsing: Array(policy.utf8)) {
            members.merge(kept) { $1 }
        }
        members["Statement"] = .array(statements)
        return StrictJSON.object(members).written
    }
}

extension StrictJSON {
    /// As text, the members of objects in the order of their names.
    fileprivate var written: String {
        var out = ByteWriter()
        write(into: &out)
        return String(decoding: out.bytes, as: UTF8.self)
    }

    private func write(into out: inout ByteWriter) {
        switch self {
        case .null: out.put("null")
        case .bool(let value): out.put(value ? "true" : "false")
        case .number(let text): out.put(text)
        case .string(let text): Self.write(text, into: &out)
        case .array(let values):
            out.put("[")
            for (index, value) in values.enumerated() {
                if index > 0 { out.put(",") }
                value.write(into: &out)
            }
            out.put("]")
        case .object(let members):
            out.put("{")
            for (index, member) in members.sorted(by: { $0.key < $1.key }).enumerated() {
                if index > 0 { out.put(",") }
                Self.write(member.key, into: &out)
                out.put(":")
                member.value.write(into: &out)
            }
            out.put("}")
        }
    }

    private static func write(_ text: ExactString, into out: inout ByteWriter) {
        out.put("\"")
        var copy = text.text
        copy.withUTF8 { bytes in
            JSONEscape.forEachPiece(of: UnsafeRawBufferPointer(bytes)) { out.bytes($0) }
        }
        out.put("\"")
    }
}
