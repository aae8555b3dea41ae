package faults

// poison is what the handler of a special build panics at.
const poison = "PANIC HERE"

// panicEdits make the handler of chat panic.
func panicEdits() []edit {
	return []edit{{
		file: "workers/storage/storage.go",
		old:  "\tids := locked(b.frames)\n",
		new: `	for _, f := range b.frames {
		if strings.Contains(string(f.Bytes), "` + poison + `") {
			panic("poison")
		}
	}
	ids := locked(b.frames)
`,
	}, {
		file: "workers/storage/storage.go",
		old:  "\t\"slices\"\n",
		new:  "\t\"slices\"\n\t\"strings\"\n",
	}}
}
