import Configuration
import Foundation
import Testing

@Suite struct DocumentationTests {
    @Test func theArticleHasTheTableOfKeysAsItIs() throws {
        let file = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../Sources/Configuration/Configuration.docc/Configuration.md").standardized
        let text = try String(contentsOf: file, encoding: .utf8)
        let isCurrent = text.contains(ConfigurationTable.markdown())
        #expect(isCurrent, "`millrace config keys --markdown` prints the table to put there")
    }
}
