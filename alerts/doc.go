// Package alerts is the alert bundle: the rules, what the program and tests need to read them, and
// the tests that hold every rule to the same conventions.
//
//	rules/SUBJECT.yaml        Prometheus rules, one file a subject, or several SUBJECT-PART.yaml
//	tests/SUBJECT_test.yaml   promtool unit tests of that file
//	../docs/runbooks/NAME.md  one page an alert
//
// What the tests of this package demand of an alert:
//   - Labels severity (critical pages, warning is for the day, info is context) and subject, which
//     its file's name begins with. The thing at fault is in node (of a link: the peer), id (HA services and
//     guests as qemu/100), vmid (a migration). Labels of targets, such as instance, stay out.
//   - Annotations summary, description with values, and runbook_url, which ends in docs/runbooks/NAME.md.
//   - for, even if 0s, with a comment above it or beside it that says what it is derived from.
//   - A promtool test in which it fires and one in which it stays silent, with the full labels and
//     annotations; the input series have the labels that the exporter gives them.
//   - Metrics and labels that exist. Names of recording rules have a colon.
//   - One cluster never meets another: by (…) and on (…) name cluster, which may be absent from all
//     series. Facts that several exporters tell are aggregated, so that three copies are one alert.
//   - No job is named but up{job="proxmox"}.
//
// A runbook page has the sections Meaning, Confirm (with a command), Likely causes, What to do,
// Never and Over when, in this order.
//
// Recording rules of quorum.yaml that other files may use: quorate:node_up (cluster, node: 1 if the
// node is a member of the quorate partition, 0 if not, absent while no partition is quorate) and
// quorate:instance_node (cluster, instance, node: which node's exporter a target is).
package alerts
