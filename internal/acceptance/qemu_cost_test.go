package acceptance

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	manyVMs       = 200
	manyVMsBudget = 5.0 // percent of one core, of the exporter
	// userHz is the unit of /proc/PID/stat on every Linux that Go knows.
	userHz = 100
)

// onlyMigration switches off the collectors that do work of their own.
var onlyMigration = []string{"--no-collector.links", "--no-collector.corosync", "--no-collector.pve", "--no-collector.pve-node",
	"--no-collector.ha", "--no-collector.tasks", "--no-collector.ceph"}

// TestLabMigrationsCostOf200VMs prints what it costs to watch 200 VMs that do not migrate: of the
// exporter, and of the QEMUs, which have no guest and cost nothing by themselves.
func TestLabMigrationsCostOf200VMs(t *testing.T) {
	if !benching() {
		t.Skip("a measurement: run make bench")
	}
	needVMs(t)
	dir, err := os.MkdirTemp("/tmp", "quorate-vms-") // not t.TempDir, whose names are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	pids := startMonitors(t, dir, manyVMs)
	const span = 20 * time.Second
	used := func() (sum time.Duration) {
		for _, pid := range pids {
			sum += processTime(t, pid)
		}
		return sum
	}
	alone := used()
	time.Sleep(span / 2) // what they do by themselves
	alone = 2 * (used() - alone)

	x := startAlone(t, program(t), append(onlyMigration, "--qmp.dir="+dir)...)
	deadline := time.Now().Add(time.Minute)
	looks := func() float64 {
		a, err := x.scrape(t.Context(), "/metrics?collect[]=migration")
		if err != nil {
			t.Fatal(err)
		}
		return a.series["quorate_qmp_sample_duration_seconds_count{}"]
	}
	for looks() < 2*manyVMs {
		if time.Now().After(deadline) {
			t.Fatal("the VMs were not all looked at in a minute")
		}
		time.Sleep(100 * time.Millisecond)
	}
	before, ours, theirs, began := looks(), processTime(t, x.pid()), used(), time.Now()
	time.Sleep(span)
	ours, theirs, took := processTime(t, x.pid())-ours, used()-theirs-alone, time.Since(began)
	rate := (looks() - before) / took.Seconds()

	percent := func(d time.Duration) float64 { return 100 * d.Seconds() / took.Seconds() }
	table := newCostTable(t)
	table.row(fmt.Sprintf("%d VMs, share of one core, exporter", manyVMs), percent(ours), manyVMsBudget, "%")
	fmt.Fprintf(table, "%-38s %7.2f %%\n%-38s %7.1f /s\n", "  of the QEMUs for their answers", percent(theirs), "  looks", rate)
	t.Log(table.String())
	if rate < .9*manyVMs {
		t.Errorf("%.1f looks a second at %d VMs: not what the figures are about", rate, manyVMs)
	}
}

// startMonitors starts QEMUs without a machine, whose monitors lie in dir as Proxmox VE's do.
func startMonitors(t *testing.T, dir string, n int) (pids []int) {
	t.Helper()
	var mu sync.Mutex
	var all sync.WaitGroup
	slots := make(chan struct{}, 4)
	for i := range n {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			pid, err := startMonitor(t, filepath.Join(dir, fmt.Sprintf("%d.qmp", 1000+i)))
			mu.Lock()
			defer mu.Unlock()
			pids = append(pids, pid)
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return pids
}

func startMonitor(t *testing.T, path string) (pid int, err error) {
	cmd := exec.Command("qemu-system-x86_64", "-machine", "none", "-nodefaults", "-display", "none",
		"-chardev", "socket,id=qmp,path="+path+",server=on,wait=off", "-mon", "chardev=qmp,mode=control")
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if greeted(path) {
			return cmd.Process.Pid, nil
		}
		if time.Now().After(deadline) {
			return 0, errors.New(path + ": no greeting within a minute")
		}
	}
}

// greeted says whether a monitor serves its clients.
func greeted(path string) bool {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return false
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return false
	}
	_, err = conn.Read(make([]byte, 1))
	return err == nil
}

// processTime is the processor time that a process has used.
func processTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:])) // from the third on
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / userHz
}
