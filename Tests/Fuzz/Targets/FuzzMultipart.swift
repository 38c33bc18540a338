@testable import IngestGateway

/// Forms with a file, as they come in pieces. The first line of an input is the value of a Content-Type, the rest the form; where that names no
/// boundary the form's is `b`.
@Sendable func fuzzMultipart(_ bytes: UnsafeRawBufferPointer) {
    let end = bytes.firstIndex(of: 0x0a) ?? 0
    let boundary = MultipartForm.boundary(of: UnsafeRawBufferPointer(rebasing: bytes[..<end])) ?? [UInt8(ascii: "b")]
    let form = UnsafeRawBufferPointer(rebasing: bytes[min(end + 1, bytes.count)...])
    let whole = taken(form, boundary, step: max(form.count, 1))
    insist(whole.file.count <= form.count, "a file has more bytes than came")
    insist(
        (whole.name?.utf8.count ?? 0) <= MultipartForm.maxNameBytes && whole.name?.contains("/") != true,
        "a file's name is a path, or too long")
    for step in [1, 3, 64] where step < form.count {
        insist(whole == taken(form, boundary, step: step), "the pieces matter")
    }
}

private struct Taken: Equatable {
    var file: [UInt8] = []
    var problem: String?
    var name: String?
    var type: [UInt8]?
}

private func taken(_ bytes: UnsafeRawBufferPointer, _ boundary: [UInt8], step: Int) -> Taken {
    let form = MultipartForm(boundary: boundary, piece: step)
    var taken = Taken()
    var start = 0
    while start < bytes.count, taken.problem == nil {
        let piece = UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + step, bytes.count)])
        taken.problem = form.take(piece) { taken.file += $0 }?.detail
        start += piece.count
    }
    taken.problem = taken.problem ?? form.endProblem?.detail
    (taken.name, taken.type) = (form.fileName, form.contentType)
    return taken
}
