package faults

import (
	"go/format"
	"path/filepath"
	"testing"
)

// mutant is a build that lacks one safeguard. A check that passes with its
// mutant proves nothing.
type mutant struct {
	name string
	// safeguard is what the mutant lacks.
	safeguard string
	// fault is what exposes the lack, and symptom how it shows.
	fault, symptom string
	edits          []edit
}

// mutants are the builds that the harness must catch.
func mutants() []mutant {
	return []mutant{
		{
			name:      "no-partition-row",
			safeguard: "A batch locks its partitions' rows in applied and compares where they stand, so that what was applied, by whomever, is not applied again.",
			// Chat that two owners store is told apart by its frame id, and the second
			// attempt comes after the zombie has heard that it is one: in a batch of
			// chat alone nothing shows.
			fault: "Cut a worker's link to MySQL when COMMIT has passed, before its answer has. " +
				"Or stop a worker (SIGSTOP) when START TRANSACTION has passed for a batch without new chat " +
				"(refused frames, 5, 14, 16), and let it go on after the takeover, but within idleWait.",
			symptom: "Ranges of a partition in the journal overlap; after a cut, pushes of the batch are missing.",
			edits: []edit{
				{file: "workers/apply.go", old: " ORDER BY `partition` FOR UPDATE SKIP LOCKED", new: " ORDER BY `partition`"},
				{file: "workers/apply.go", old: "\t\tout[id] = r\n", new: "\t\tr.next = l.in.parts[id].next\n\t\tout[id] = r\n"},
			},
		},
		{
			name:      "announce-before-commit",
			safeguard: "Replies and pushes go out when the transaction has committed, not before.",
			// Once another owner has taken over, the same records have given the same
			// rows: nothing shows any more.
			fault: "Hold COMMIT, on a worker's link to MySQL or by MariaDB's BACKUP STAGE BLOCK_COMMIT, " +
				"and look at the rows meanwhile, or between the kill of the worker and the takeover.",
			symptom: "Any reply to a chat frame while COMMIT is held; an acknowledged message without a row.",
			edits: []edit{
				{file: "workers/apply.go", old: "\t_ = l.announce.add(ctx, j) // fails when the lane ends\n", new: ""},
				{
					file: "workers/apply.go",
					old:  "\tvar err error\n\trow.Number, err = tx.commit(",
					new:  "\terr := l.announce.add(ctx, j)\n\tif err != nil {\n\t\treturn nil, err\n\t}\n\trow.Number, err = tx.commit(",
				},
				// Else the announcer, which works beside the lane, would often come
				// behind the commit all the same.
				{
					file: "workers/announce.go",
					old:  "func (a *announcer) add(ctx context.Context, j *job) error {\n",
					new: `func (a *announcer) add(ctx context.Context, j *job) error {
	if err := a.announce(ctx, j); err != nil {
		return err
	}
	a.half(j)
`,
				},
				{
					file: "workers/announce.go",
					old: `	select {
	case a.jobs <- j: // also after ctx has ended: the announcer goes on for lastWords
		return nil
	default:
	}
	select {
	case a.jobs <- j:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
`,
					new: "\treturn nil\n",
				},
			},
		},
		{
			name:      "start-at-committed",
			safeguard: "A new owner starts where MySQL stands, not at the offset that is committed to Kafka, which is committed when records are taken.",
			fault:     "Kill a worker, and not the edge, when COMMIT is seen on its link to MySQL, without letting it pass, under load with windows.",
			symptom: "Ranges of a partition in the journal do not follow each other. The frames are published again after 4 s, " +
				"behind those that followed: a sender's messages are out of order, and answers late.",
			edits: []edit{
				{file: "pkg/queue/group.go", old: "\tPartitions []int\n", new: "\tPartitions []int\n\tCommitted  map[int]int64\n"},
				{
					file: "pkg/queue/group.go",
					old:  "mine := &Generation{g: gen, topic: cfg.Topic}",
					new:  "mine := &Generation{g: gen, topic: cfg.Topic, Committed: map[int]int64{}}",
				},
				{
					file: "pkg/queue/group.go",
					old:  "mine.Partitions = append(mine.Partitions, a.ID)\n",
					new:  "mine.Partitions = append(mine.Partitions, a.ID)\n\t\t\tmine.Committed[a.ID] = a.Offset // below 0: none\n",
				},
				{file: "workers/group.go", old: "starts[p.id] = p.start()", new: "starts[p.id] = max(gen.Committed[p.id], p.first)"},
				{file: "workers/group.go", old: "\twg.Go(func() { g.commitLoop(ctx, gen, lanes) })\n", new: ""},
				{file: "workers/group.go", old: "g.newLane(mine, fetcher)", new: "g.newLane(gen, mine, fetcher)"},
				{file: "workers/group.go", old: "newLane(parts []*partition,", new: "newLane(gen *queue.Generation, parts []*partition,"},
				{file: "workers/group.go", old: "in: in, forget: fetcher.Forget,", new: "in: in, committed: gen.Commit, forget: fetcher.Forget,"},
				{
					file: "workers/lane.go",
					old:  "\tforget   func(partition int) // stops fetching it\n",
					new:  "\tforget   func(partition int) // stops fetching it\n\tcommitted func(map[int]int64) error\n",
				},
				{
					file: "workers/lane.go",
					old:  "func (l *lane) batch(ctx context.Context, batch []taken) {\n",
					new: `func (l *lane) batch(ctx context.Context, batch []taken) {
	fetched := map[int]int64{}
	for _, t := range batch {
		fetched[t.part.id] = t.messages[len(t.messages)-1].Offset + 1
	}
	if err := l.committed(fetched); err != nil {
		l.log.Warn("commit offsets", "error", err)
	}
`,
				},
			},
		},
		{
			name:      "no-resync",
			safeguard: "An edge whose channel was lost or had a gap asks again for what is outstanding and has its sessions synchronised.",
			fault:     "Delete the edges' streams before they have read what is in them, or kill Redis and start it again, under load.",
			symptom:   "Connected recipients never get some messages, unless they ask (14 and 16 would hide it); answers come late.",
			edits: []edit{
				{file: "edge/keep.go", old: "\t\t\tc.overdue(now, true)\n", new: "\t\t\t_ = now\n"},
				{file: "edge/keep.go", old: "\te.resyncs <- since\n}", new: "}"},
			},
		},
		{
			name:      "no-idempotency",
			safeguard: "A frame is looked for by its frame id before it is stored, and a unique key refuses the second row.",
			fault: "A client repeats a frame with the same id, after success or after 504. Without one: kill a worker when COMMIT has passed, " +
				"before its answer has, or delete the edges' streams under load.",
			symptom: "One frame is stored under two numbers, and pushed twice: more rows than frames.",
			edits: []edit{
				// A fresh frame id for each record, so that no key is ever met twice.
				// Hence nothing is found to announce again, either.
				{
					file: "workers/partition.go",
					old:  "\tif n, err := f.Parse(m.Value); err != nil",
					new:  "\trand.Read(f.Envelope.FrameID[:]) // never fails\n\tif n, err := f.Parse(m.Value); err != nil",
				},
				{file: "workers/partition.go", old: "\t\"crypto/sha256\"\n", new: "\t\"crypto/rand\"\n\t\"crypto/sha256\"\n"},
				// Registrations are remembered by a hash that their records do not hold.
				{
					file: "workers/memory.go",
					old:  "\ts, ok := m.known[m.id(f)]\n\tif !ok ||",
					new:  "\ts, ok := m.known[m.id(f)]\n\tif ok = false; !ok ||",
				},
			},
		},
		{
			name:      "writer",
			safeguard: "A partition whose batch failed is retried in place, before anything behind it.",
			fault: "Cut the edges' links to Kafka for half a second to three, again and again, under load with windows: " +
				"longer than one attempt, shorter than any deadline.",
			symptom: "A sender's messages are out of order within a conversation; 504 where Kafka never saw the frame.",
			edits: []edit{
				{file: "edge/writer.go", add: filepath.Join("testdata", "writer.go")},
				{
					file: "edge/edge.go",
					old: `	e.producer = queue.NewProducer(queue.ProducerConfig{
		Brokers: cfg.Kafka, MaxBytes: cfg.QueueBytes, Log: e.log,
		Metrics: deps.Metrics, MetricsPrefix: "sponge_edge",
	})
`,
					new: "\te.producer = newWriter(cfg.Kafka, e.log)\n",
				},
			},
		},
	}
}

// What the edits expect of the sources must still be there, and what they make
// of them must be Go.
func TestMutantsFitTheSources(t *testing.T) {
	t.Parallel()
	all := append(mutants(), mutant{name: "clock", edits: clockEdits()}, mutant{name: "panics", edits: panicEdits()})
	seen := map[string]bool{}
	for _, m := range all {
		if seen[m.name] {
			t.Errorf("two mutants are called %s", m.name)
		}
		seen[m.name] = true
		files, err := overlayFiles(t.Context(), m.edits)
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
		for path, text := range files {
			if _, err := format.Source([]byte(text)); err != nil {
				t.Errorf("%s: %s: %v", m.name, path, err)
			}
		}
	}
}

// An edit that does not fit must not go unnoticed.
func TestOverlayRefusesWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	writer := filepath.Join("testdata", "writer.go")
	for name, edits := range map[string][]edit{
		"text that is not there":          {{file: "edge/keep.go", old: "no such text", new: "x"}},
		"text that is there twice":        {{file: "edge/keep.go", old: "ctx", new: "x"}},
		"no text":                         {{file: "edge/keep.go", new: "x"}},
		"text that an edit has taken":     {{file: "edge/keep.go", old: "package edge\n"}, {file: "edge/keep.go", old: "package edge\n"}},
		"a file that is not there":        {{file: "edge/no.go", old: "package edge", new: "x"}},
		"a new file that is there":        {{file: "edge/keep.go", add: writer}},
		"a new file that has no contents": {{file: "edge/no.go", add: writer + ".no"}},
	} {
		if _, err := overlayFiles(t.Context(), edits); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
