// A Vitest reporter that leaves the true totals in a file, skips with their reasons. Its path is in
// ZTNA_VITEST_SUMMARY. A file that does not load and an error outside of tests count as failures.
import { writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import type { Reporter, SerializedError, TestCase, TestModule } from 'vitest/node';

export interface VitestSummary {
  passed: number;
  failures: string[];
  skips: { test: string; reason: string }[];
}

class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): void {
    const summary: VitestSummary = { passed: 0, failures: [], skips: [] };
    for (const module of modules) {
      for (const test of module.children.allTests()) count(summary, module, test);
      const broken = [module, ...module.children.allSuites()].filter((suite) => suite.errors().length > 0);
      for (const suite of broken) summary.failures.push(`${fileOf(module)}: ${suite.errors()[0]?.message}`);
    }
    for (const error of errors) summary.failures.push(`outside of a test: ${error.message}`);
    const file = process.env.ZTNA_VITEST_SUMMARY;
    if (file) writeFileSync(file, JSON.stringify(summary));
  }
}

function count(summary: VitestSummary, module: TestModule, test: TestCase): void {
  const result = test.result();
  const name = `${fileOf(module)} > ${test.fullName}`;
  switch (result.state) {
    case 'passed':
      summary.passed += 1;
      break;
    case 'failed':
      summary.failures.push(name);
      break;
    case 'skipped':
      summary.skips.push({ test: name, reason: result.note ?? '' });
      break;
    case 'pending':
      summary.failures.push(`${name}: never finished`);
  }
}

function fileOf(module: TestModule): string {
  return relative(process.cwd(), module.moduleId);
}

export default SummaryReporter;
