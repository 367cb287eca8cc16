package dashboards

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"testing"
	"time"
)

// A Grafana is on few machines: GRAFANA_URL names one that may be written to, such as
// http://admin:admin@127.0.0.1:3000.
func TestGrafanaImportsThePages(t *testing.T) {
	grafana := os.Getenv("GRAFANA_URL")
	if grafana == "" {
		t.Skip("GRAFANA_URL names no Grafana to import the pages into")
	}
	client := http.Client{Timeout: 20 * time.Second}
	call := func(method, path string, body []byte) []byte {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, grafana+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s %s: %s: %s (%v)", method, path, resp.Status, text, err)
		}
		return text
	}
	for name, text := range generate(t) {
		body, err := json.Marshal(map[string]any{"dashboard": json.RawMessage(text), "overwrite": true})
		if err != nil {
			t.Fatal(err)
		}
		call(http.MethodPost, "/api/dashboards/db", body)
		var sent page
		var stored struct{ Dashboard page }
		if err := json.Unmarshal([]byte(text), &sent); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(call(http.MethodGet, "/api/dashboards/uid/"+sent.UID, nil), &stored); err != nil {
			t.Fatal(err)
		}
		if have, want := len(stored.Dashboard.all()), len(sent.all()); have != want {
			t.Errorf("%s: Grafana has %d panels of %d", name, have, want)
		}
	}
}
