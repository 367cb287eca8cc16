// Package haoracle holds the alert rules of Proxmox HA against recorded scenarios of Proxmox's own HA
// manager, of which it is known how they ended.
//
//	NAME.jsonl.gz ─► pve.ParseHAReplies ─► pve.HATracker ─► collector.HASpec ─► series ─► promtool ─► pages ─┐
//	index.json ─► Truth ─────────────────────────────────────────────────────────────────────► failures ─────┴► verdict
//
// Prometheus's own engine evaluates the rules, as `promtool test rules` runs it: a test file for each
// scenario has the series of every scrape, and asks for ALERTS at every evaluation. Scrapes and
// evaluations follow the scenario's clock at its step of 20 s, which is 0 at its start, so the
// values of series named …_timestamp_seconds are told from there. A series that is not in a scrape
// any more becomes stale, as in a server.
//
// Most scenarios end soon after something happened. So that `for:` can pass, the last step is held
// for half an hour: everything stays as it was, and who wrote status timestamps in the last steps, the
// master and the LRMs, goes on to write them; whoever had ceased stays dead.
//
// A page is an alert with severity critical and subject ha. Each failure of Truth must be paged while
// it lasts, by an alert that names the guest or its node; a page that names no failing guest or node
// while it is failing is false. No rule knows a scenario's name, nor does this package.
//
// All functions run in the caller's goroutine but Run, which waits for the promtools that it starts.
package haoracle
