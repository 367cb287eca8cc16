package lab

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What Alertmanager 0.25 sends, shortened.
const firingWebhook = `{"receiver":"page","status":"firing","alerts":[
 {"status":"firing","labels":{"alertname":"NodeDown","cluster":"lab","node":"pve3","severity":"critical"},
  "annotations":{"summary":"pve3 <is> down","runbook_url":"https://example.invalid/NodeDown"},
  "startsAt":"2026-11-21T10:00:00Z","endsAt":"0001-01-01T00:00:00Z","fingerprint":"aa"}],
 "groupLabels":{"alertname":"NodeDown"},"version":"4","groupKey":"{}:{alertname=\"NodeDown\"}","truncatedAlerts":0}`

var resolvedWebhook = strings.NewReplacer(`"status":"firing"`, `"status":"resolved"`, "0001-01-01", "2026-11-22").Replace(firingWebhook)

func newPager(t *testing.T, path string) *httptest.Server {
	t.Helper()
	log, err := OpenPageLog(path)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 21, 10, 0, 30, 0, time.UTC)
	server := httptest.NewServer(NewPager(log, func() time.Time { return at }))
	t.Cleanup(server.Close)
	return server
}

func post(t *testing.T, server *httptest.Server, body string) int {
	t.Helper()
	response, err := http.Post(server.URL+"/", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

func page(t *testing.T, server *httptest.Server, path string) string {
	t.Helper()
	response, err := http.Get(server.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestPagerShowsWhatFiresAndWhatResolved(t *testing.T) {
	server := newPager(t, filepath.Join(t.TempDir(), "pages.jsonl"))
	if text := page(t, server, "/"); !strings.Contains(text, "Nothing fires") || !strings.Contains(text, "0 notifications") {
		t.Errorf("the empty page says\n%s", text)
	}
	if code := post(t, server, firingWebhook); code != http.StatusOK {
		t.Fatalf("answered %d", code)
	}
	text := page(t, server, "/")
	for _, want := range []string{"Firing now", "1 notifications", "NodeDown", "node=pve3", "pve3 &lt;is&gt; down", `href="https://example.invalid/NodeDown"`, `class="s critical"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %s:\n%s", want, text)
		}
	}
	post(t, server, resolvedWebhook)
	if text := page(t, server, "/"); !strings.Contains(text, "Nothing fires") || !strings.Contains(text, "2 notifications") {
		t.Errorf("after the end the page says\n%s", text)
	}
}

func TestPagerGoesOnWhereItsFileEnded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pages.jsonl")
	post(t, newPager(t, path), firingWebhook)
	if err := appendText(path, `{"time":"2026-11-21T10:0`); err != nil { // killed while it wrote
		t.Fatal(err)
	}
	again := newPager(t, path)
	post(t, again, resolvedWebhook)
	lines := strings.Split(strings.TrimSpace(page(t, again, "/pages.jsonl")), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"firing"`) || !strings.Contains(lines[1], `"resolved"`) {
		t.Errorf("kept are %q", lines)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte("\n")); n != 2 || bytes.Contains(text, []byte(`"2026-11-21T10:0{`)) {
		t.Errorf("the file has %d lines:\n%s", n, text)
	}
	if _, err := OpenPageLog(path); err != nil {
		t.Error(err)
	}
}

func TestPagerRefusesWhatIsNoNotification(t *testing.T) {
	server := newPager(t, filepath.Join(t.TempDir(), "pages.jsonl"))
	for _, body := range []string{"", "{}", "[]", `{"alerts":[]}`, `{"alerts":`, `{"alerts":["` + strings.Repeat("x", maxWebhook) + `"]}`} {
		if code := post(t, server, body); code != http.StatusBadRequest {
			t.Errorf("%.20q was answered with %d", body, code)
		}
	}
	if text := page(t, server, "/pages.jsonl"); text != "" {
		t.Errorf("kept is %q", text)
	}
}

func appendText(path, text string) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.WriteString(text)
	return err
}
