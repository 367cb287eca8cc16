package server

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

func named(names ...string) prometheus.GathererFunc {
	return func() ([]*dto.MetricFamily, error) {
		var out []*dto.MetricFamily
		for _, n := range names {
			out = append(out, &dto.MetricFamily{Name: &n})
		}
		return out, nil
	}
}

func TestGatherersAreJoinedByName(t *testing.T) {
	families, err := joined{named("b", "d"), named("a", "c")}.Gather()
	if got := names(families); got != "a b c d" || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	families, err = joined{named("a", "b"), named("b", "c")}.Gather()
	if got := names(families); got != "a b c" || err == nil || !strings.Contains(err.Error(), "b comes from two") {
		t.Errorf("a name twice: %s, %v", got, err)
	}
}

func names(families []*dto.MetricFamily) string {
	var out []string
	for _, f := range families {
		out = append(out, f.GetName())
	}
	return strings.Join(out, " ")
}

func TestAnswersAreCompressedForThoseWhoAsk(t *testing.T) {
	long := strings.Repeat("pve_up{id=\"qemu/100\"} 1\n", 1000)
	srv := httptest.NewServer(compressed(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, long) })))
	defer srv.Close()
	for _, encoding := range []string{"gzip", "identity"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept-Encoding", encoding)
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body := io.Reader(res.Body)
		if got := res.Header.Get("Content-Encoding"); (got == "gzip") != (encoding == "gzip") {
			t.Errorf("asked for %s, got %q", encoding, got)
		}
		if encoding == "gzip" {
			if body, err = gzip.NewReader(res.Body); err != nil {
				t.Fatal(err)
			}
		}
		got, err := io.ReadAll(body)
		if err != nil || string(got) != long {
			t.Errorf("%s: %d bytes, %v", encoding, len(got), err)
		}
		_ = res.Body.Close()
	}
}
