package qmp

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestLinesSurviveADeadlineInTheirMiddle(t *testing.T) {
	t.Parallel()
	l := lineReader{r: &pieces{"fir", "", "st\r\nsec", "", "ond\n\nlast"}}
	var got []string
	timeouts := 0
	for {
		line, err := l.next()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			timeouts++
			continue
		}
		if err != nil {
			break
		}
		got = append(got, string(line))
	}
	if s := strings.Join(got, "|"); s != "first|second|" || timeouts != 2 {
		t.Errorf("got %q after %d timeouts", s, timeouts)
	}
}

// pieces is read piece by piece; an empty one is a deadline that has passed.
type pieces []string

func (p *pieces) Read(b []byte) (int, error) {
	if len(*p) == 0 {
		return 0, io.EOF
	}
	piece := (*p)[0]
	*p = (*p)[1:]
	if piece == "" {
		return 0, os.ErrDeadlineExceeded
	}
	return copy(b, piece), nil
}

func TestLinesUpToOneMebibyteAreRead(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		length int
		end    string
		want   error
	}{
		"as long as allowed":          {maxLine, "\n", nil},
		"and with the end QEMU sends": {maxLine, "\r\n", nil},
		"one byte longer":             {maxLine + 1, "\n", errTooLong},
		"much longer":                 {5 * maxLine, "\r\n", errTooLong},
		"without end":                 {maxSkip + 2*maxLine, "", errTooLong},
	} {
		for _, chunk := range []int{1 << 16, 1<<16 + 1} {
			input := strings.Repeat("x", tc.length) + tc.end + "next\n"
			l := lineReader{r: &chunked{r: strings.NewReader(input), size: chunk}}
			line, err := l.next()
			if !errors.Is(err, tc.want) || err == nil && len(line) != tc.length {
				t.Fatalf("%s: got %d bytes, %v", name, len(line), err)
			}
			if len(l.buf) > 4*maxLine {
				t.Errorf("%s: a buffer of %d bytes", name, len(l.buf))
			}
			if tc.end == "" {
				continue
			}
			if line, err = l.next(); string(line) != "next" || err != nil {
				t.Errorf("%s: then %q, %v", name, line, err)
			}
		}
	}
}

// chunked reads at most size bytes at a time.
type chunked struct {
	r    io.Reader
	size int
}

func (c *chunked) Read(b []byte) (int, error) { return c.r.Read(b[:min(len(b), max(1, c.size))]) }

func TestGivingUpDoesNotCutTheWaitForALateReply(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	defer theirs.Close()
	defer ours.Close()
	c := newConn(ours, nil)
	if err := c.until(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	c.poke()
	if _, err := c.receive(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("after poke: %v", err)
	}
	if err := c.until(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.receive(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("poke forgotten: %v", err)
	}
	if err := c.drainUntil(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	c.poke() // a context may end after its conversation
	go theirs.Write([]byte(`{"return": {}, "id": "late"}` + "\n"))
	if _, _, err := c.awaitReply([]byte(`"late"`)); err != nil {
		t.Error(err)
	}
}

func TestReadingWithoutProgressEnds(t *testing.T) {
	t.Parallel()
	l := lineReader{r: stuck{}}
	if _, err := l.next(); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("got %v", err)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

// FuzzReader compares with what the standard library makes of the same bytes.
func FuzzReader(f *testing.F) {
	f.Add([]byte(greeting+"\r\n"+event+"\r\n{\"return\": {}, \"id\": \"quorate-x-1\"}\r\n"), uint16(7))
	f.Add([]byte("\r\n\n{\"return\": {\"status\": \"act"), uint16(1))
	f.Add([]byte(`{"error": {"class": "GenericError", "desc": "a \"quote\" and \u0065"}, "id": {"a": [1, "}"]}}`+"\n"), uint16(3))
	f.Add([]byte("{\"id\" : 1 , \"i\\u0064\":\t[ ]}\n{\"x\":{\"y\":-1.5e3}}\nnull\n[1,2]\n\"id\"\n\x00\xff\n{\n"), uint16(0))
	f.Fuzz(func(t *testing.T, data []byte, size uint16) {
		l := lineReader{r: iotest.DataErrReader(&chunked{r: bytes.NewReader(data), size: int(size)})}
		lines := bytes.SplitAfter(data, []byte("\n"))
		for _, want := range lines[:len(lines)-1] { // the last one has no end
			want = bytes.TrimRight(want[:len(want)-1], "\r")
			line, err := l.next()
			if err != nil || !bytes.Equal(line, want) {
				t.Fatalf("got line %q, %v, want %q", line, err, want)
			}
			compareMessage(t, line)
		}
		if line, err := l.next(); err != io.EOF {
			t.Fatalf("at the end: %q, %v", line, err)
		}
	})
}

func compareMessage(t *testing.T, line []byte) {
	msg, err := parseMessage(line)
	var want map[string]json.RawMessage
	if json.Unmarshal(line, &want) != nil || want == nil { // nil is JSON's null
		if !errors.Is(err, errGarbage) {
			t.Fatalf("%q: got %v", line, err)
		}
		return
	}
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	for key, got := range map[string][]byte{
		"QMP": msg.greeting, "event": msg.event, "id": msg.id, "return": msg.result, "error": msg.failure,
	} {
		if !bytes.Equal(got, want[key]) {
			t.Fatalf("%q: %s is %q, want %q", line, key, got, want[key])
		}
	}
	_ = failureText(msg.failure)
}
