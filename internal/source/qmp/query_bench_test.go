package qmp

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// cpuTime returns the processor time of this process.
func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkQuery is one conversation with a fake in the same process, whose part is in the figures.
func BenchmarkQuery(b *testing.B) {
	for name, migrate := range map[string]string{
		"idle":      `{}`,
		"migrating": string(recordedReplies(b)[3]),
	} {
		b.Run(name, func(b *testing.B) {
			f := newFake(b, 16, func(c *fakeClient) {
				c.send(greeting)
				c.quick(migrate)
			})
			c := newClient(b, Options{Greeting: time.Minute, Reply: time.Minute, Conversation: time.Minute})
			b.ReportAllocs()
			began := cpuTime(b)
			for b.Loop() {
				if _, err := c.Query(b.Context(), f.path); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(cpuTime(b)-began)/float64(b.N)/1e3, "cpu-µs/op")
		})
	}
}

// quick replies without making sense of what it is asked, to cost little.
func (c *fakeClient) quick(migrate string) {
	replies := [...]string{`{"return": {}, "id": `, `{"return": ` + migrate + `, "id": `,
		`{"return": {"status": "running", "singlestep": false, "running": true}, "id": `}
	buf := make([]byte, 0, 4096)
	for _, reply := range replies {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return
		}
		const id = len(`"quorate-0123456789-"`)
		i := len(line) - id - 2
		for line[i] != ':' {
			i--
		}
		buf = append(append(buf[:0], reply...), line[i+1:]...)
		if _, err := c.Write(buf); err != nil {
			return
		}
	}
	c.r.ReadSlice('\n')
}

// BenchmarkProcess is what finding out whose socket it is adds to each conversation.
func BenchmarkProcess(b *testing.B) {
	f := newFake(b, 2, func(c *fakeClient) { c.obey(nil) })
	c, err := dial(f.path, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	b.ReportAllocs()
	began := cpuTime(b)
	for b.Loop() {
		if p := peer(c.Conn); p.PID != os.Getpid() {
			b.Fatalf("got %+v", p)
		}
	}
	b.ReportMetric(float64(cpuTime(b)-began)/float64(b.N)/1e3, "cpu-µs/op")
}

func BenchmarkParseMigration(b *testing.B) {
	raw := recordedReplies(b)[3]
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseMigration(raw); err != nil {
			b.Fatal(err)
		}
	}
}
