import Testing

@Suite struct ImportDirectionTests {
    @Test func everyModuleHasARule() throws {
        let modules = try SourceTree.swiftModules()
        #expect(modules.contains("KafkaModel"), "the source tree was not found at \(SourceTree.sources)")
        for module in modules {
            #expect(allowedImports[module] != nil, "Sources/\(module) is not in the table of AllowedImports.swift")
        }
    }

    @Test func importsFollowTheArrows() throws {
        for module in try SourceTree.swiftModules() {
            guard let rule = allowedImports[module] else { continue }
            for line in try SourceTree.imports(of: module) {
                let isAllowed = rule.modules.contains(line.module) || rule.toolchain.contains(line.module)
                #expect(isAllowed, "\(module) may not import \(line.module): \(line)")
            }
        }
    }

    @Test func theTableItselfHasNoCycle() {
        // A module's height is one more than its highest import; a cycle never settles.
        var heights: [String: Int] = [:]
        for _ in 0...allowedImports.count {
            for (module, rule) in allowedImports {
                heights[module] = 1 + (rule.modules.compactMap { heights[$0] }.max() ?? 0)
            }
        }
        #expect(heights.values.allSatisfy { $0 <= allowedImports.count })
    }

    @Test func edgesDoNotImportEachOther() {
        for edge in ["KafkaServer", "IngestGateway"] {
            let others = Set(["KafkaServer", "IngestGateway", "KafkaClient"]).subtracting([edge])
            #expect(allowedImports[edge]?.modules.isDisjoint(with: others) == true)
        }
    }

    @Test func foundationStaysOutOfEveryModule() throws {
        for module in try SourceTree.swiftModules() {
            for line in try SourceTree.imports(of: module) {
                #expect(line.module != "Foundation", "\(line)")
                #expect(!line.text.contains("@testable"), "\(line)")
            }
        }
    }

    @Test func importLinesAreRecognisedInAllTheirForms() {
        let text = """
            import A
            public import B
            @preconcurrency import C
            @_spi(Testing) public import D
            import struct E.Thing
            // import F
            let important = 1
              package import G.Submodule  // why
            """
        let found = SourceTree.importLines(in: text, file: "x.swift")
        #expect(found.map(\.module) == ["A", "B", "C", "D", "E", "G"])
        #expect(found.map(\.line) == [1, 2, 3, 4, 5, 8])
    }
}
