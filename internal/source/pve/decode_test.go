package pve

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
)

func TestNumbersAreReadInEveryFormPerlWritesThem(t *testing.T) {
	for in, want := range map[string]Int{
		`12`: {12, true}, `"12"`: {12, true}, `-3`: {-3, true}, `12.0`: {12, true}, `1e9`: {1000000000, true},
		`"1073741824"`: {1 << 30, true}, `true`: {1, true}, `false`: {0, true}, `""`: {}, `null`: {},
		`9223372036854775807`: {math.MaxInt64, true},
	} {
		got := Int{99, true}
		if err := json.Unmarshal([]byte(in), &got); err != nil && in != "null" || got != want {
			t.Errorf("Int %s: got %+v, %v", in, got, err)
		}
	}
	for in, want := range map[string]Float{
		`0.5`: {0.5, true}, `"0.5"`: {0.5, true}, `1`: {1, true}, `"1e-3"`: {0.001, true}, `""`: {}, `null`: {}, `true`: {1, true},
	} {
		var got Float
		if err := json.Unmarshal([]byte(in), &got); err != nil || got != want {
			t.Errorf("Float %s: got %+v, %v", in, got, err)
		}
	}
	for in, want := range map[string]Bool{
		`1`: {true, true}, `"1"`: {true, true}, `true`: {true, true}, `0`: {false, true}, `"0"`: {false, true},
		`false`: {false, true}, `""`: {false, true}, `null`: {},
	} {
		var got Bool
		if err := json.Unmarshal([]byte(in), &got); err != nil || got != want {
			t.Errorf("Bool %s: got %+v, %v", in, got, err)
		}
	}
	for in, want := range map[string]Text{`"a"`: "a", `9.2`: "9.2", `"a\nb"`: "a\nb", `null`: "", `true`: "1"} {
		var got Text
		if err := json.Unmarshal([]byte(in), &got); err != nil || got != want {
			t.Errorf("Text %s: got %q, %v", in, got, err)
		}
	}
}

func TestWhatIsNoNumberIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		out any
		in  []string
	}{
		"Int":   {new(Int), []string{`"abc"`, `1.5`, `{}`, `[]`, `[1]`, `"0x10"`, `"inf"`, `"nan"`, `1e30`, `"1_0"`, `" 1"`, `"9223372036854775808"`}},
		"Float": {new(Float), []string{`"abc"`, `{}`, `[]`, `"inf"`, `"NaN"`, `"0x1p4"`, `1e999`, `"1_0"`}},
		"Bool":  {new(Bool), []string{`2`, `"yes"`, `{}`, `[]`, `-1`}},
		"Text":  {new(Text), []string{`{}`, `[]`}},
	} {
		for _, in := range c.in {
			if err := json.Unmarshal([]byte(in), c.out); err == nil {
				t.Errorf("%s reads %s as %+v", name, in, c.out)
			}
		}
	}
}

func TestABrokenRowCostsOnlyItself(t *testing.T) {
	noLeak(t)
	const guest = `{"id":"qemu/100","type":"qemu","vmid":100,"node":"pve1","status":"running","cpu":0.5,"mem":"1024"}`
	for name, c := range map[string]struct{ row, says string }{
		"wrong type of a number": {`{"id":"qemu/101","type":"qemu","maxmem":"lots"}`, `row 1: qemu/101: maxmem: "lots" is not a whole number`},
		"wrong type of a string": {`{"id":"qemu/101","type":"qemu","lock":{"a":1}}`, `row 1: qemu/101: lock: field "lock" holds a object`},
		"a list for a row":       {`[1,2]`, "row 1: "},
		"no id":                  {`{"type":"qemu"}`, "row 1: no id"},
		"no type":                {`{"id":"qemu/101"}`, "row 1: no type"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuthority(t)
			cl := a.client(t, nil, a.serve(t, reply(`{"data":[`+guest+`,`+c.row+`,`+strings.ReplaceAll(guest, "100", "102")+`]}`)))
			rows, err := cl.Resources(within(t, 5*time.Second))
			if !IsKind(err, Type) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "/cluster/resources") {
				t.Errorf("got error %v, want one that says %s", err, c.says)
			}
			if len(rows) != 2 || rows[0].ID != "qemu/100" || rows[1].ID != "qemu/102" || rows[0].Mem != (Int{1024, true}) || rows[0].MaxMem.Known {
				t.Errorf("got rows %+v", rows)
			}
		})
	}
}

func TestANodeThatIsAwayHasNoNumbers(t *testing.T) {
	// As recorded 90 s after the loss of pve3.
	rows, err := decodeRows([]byte(`{"data":[{"id":"node/pve3","type":"node","node":"pve3","status":"offline","hastate":"unknown","level":""}]}`), (*Resource).lacks)
	if err != nil || len(rows) != 1 {
		t.Fatalf("got %+v, %v", rows, err)
	}
	if r := rows[0]; r.CPU.Known || r.MaxMem.Known || r.Uptime.Known || r.Status != "offline" {
		t.Errorf("got %+v", r)
	}
}

func FuzzResources(f *testing.F) {
	f.Add([]byte(goodStatus))
	f.Add([]byte(`{"data":[{"id":"qemu/100","type":"qemu","cpu":"0.1","vmid":"100","template":""},{"id":1}]}`))
	f.Add([]byte(`{"data":null}`))
	f.Add([]byte(`{"data":[null,{}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		rows, err := decodeRows(b, (*Resource).lacks)
		for _, r := range rows {
			if r.ID == "" || r.Type == "" {
				t.Fatalf("a row without id or type: %+v", r)
			}
			if math.IsNaN(r.CPU.V) || math.IsInf(r.CPU.V, 0) {
				t.Fatalf("cpu %v", r.CPU)
			}
			if !r.Mem.Known && r.Mem.V != 0 {
				t.Fatalf("an unknown number has the value %d", r.Mem.V)
			}
		}
		if err == nil && !json.Valid(b) {
			t.Fatalf("took what is no JSON")
		}
		if err != nil && !IsKind(err, Type) && !IsKind(err, Truncated) {
			t.Fatalf("error %T %v", err, err)
		}
	})
}

func FuzzRefusalText(f *testing.F) {
	f.Add("500 cluster not ready - no quorum?", []byte(`{"message":"cluster not ready - no quorum?\n","data":null}`))
	f.Add("400 Parameter verification failed.", []byte(`{"errors":{"vmid":"x","a":{}},"data":null}`))
	f.Fuzz(func(t *testing.T, line string, body []byte) {
		s := refusalText(line, body)
		if len(s) > 1010 || strings.ContainsAny(s, "\n\r\x00") {
			t.Fatalf("not one short line: %q", s)
		}
	})
}
