package alerts

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var subjectTitles = map[string]string{
	"quorum": "Quorum and nodes", "links": "Corosync links", "exporter": "The exporter itself", "ceph": "Ceph", "ha": "HA",
	"migration": "Migrations", "backups": "Backups and replication",
}

func TestAlertsDocIsCurrent(t *testing.T) {
	var b strings.Builder
	for _, subject := range subjects {
		fmt.Fprintf(&b, "\n### %s\n| alert | severity | for | meaning |\n| --- | --- | --- | --- |\n", subjectTitles[subject])
		for _, a := range alertRules(t) {
			if a.subject() == subject {
				fmt.Fprintf(&b, "| [%s](runbooks/%s.md) | %s | %s | %s |\n", a.Alert, a.Alert, a.Labels["severity"], a.For, meaning(t, a.Alert))
			}
		}
	}
	b.WriteString("\n")
	generated(t, alertsDoc, b.String())
}

func TestRunbookIndexIsCurrent(t *testing.T) {
	var b strings.Builder
	for _, subject := range subjects {
		fmt.Fprintf(&b, "\n## %s\n", subjectTitles[subject])
		for _, a := range alertRules(t) {
			if a.subject() == subject {
				fmt.Fprintf(&b, "- [%s](%s.md) (%s)\n", a.Alert, a.Alert, a.Labels["severity"])
			}
		}
	}
	b.WriteString("\n")
	generated(t, filepath.Join(runbooksDir, "README.md"), b.String())
}

// meaning is the first sentence of the runbook.
func meaning(t *testing.T, alert string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(runbooksDir, alert+".md"))
	if err != nil {
		return "" // TestRulesHaveRunbooks tells
	}
	_, body, _ := strings.Cut(string(text), "## Meaning\n")
	body, _, _ = strings.Cut(body, "\n\n")
	body = strings.Join(strings.Fields(body), " ")
	sentence, _, _ := strings.Cut(body, ". ")
	return strings.ReplaceAll(strings.TrimSuffix(sentence, "."), "|", "\\|") + "."
}
