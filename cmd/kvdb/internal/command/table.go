package command

import "strings"

// column is a column of a table.
type column struct {
	title string
	// right aligns the cells to the right.
	right bool
	// flexible permits to cut cells off where the table is too wide. The last flexible
	// column is cut first.
	flexible bool
}

const (
	// rowsAtOnce is the number of rows whose widths are compared. Later rows may make the
	// columns wider, so a table of any length needs little memory.
	rowsAtOnce = 1000
	gap        = 2
	minCell    = 8
)

// table writes rows in columns that fit the terminal.
type table struct {
	*output
	columns []column
	rows    [][]string
	widths  []int
}

// add adds a row.
func (t *table) add(cells []string) error {
	escaped := make([]string, len(cells))
	for i, cell := range cells {
		escaped[i] = escape(cell)
	}
	if t.rows = append(t.rows, escaped); len(t.rows) < rowsAtOnce {
		return nil
	}
	return t.write()
}

// end writes what is left. A table without rows has no titles.
func (t *table) end() error {
	if len(t.rows) == 0 {
		return nil
	}
	return t.write()
}

func (t *table) write() error {
	head := t.widths == nil
	if head {
		t.widths = make([]int, len(t.columns))
		for i, c := range t.columns {
			t.widths[i] = width(c.title)
		}
	}
	for _, cells := range t.rows {
		for i, cell := range cells {
			t.widths[i] = max(t.widths[i], width(cell))
		}
	}
	widths := t.fit()
	if head {
		titles := make([]string, len(t.columns))
		for i, c := range t.columns {
			titles[i] = c.title
		}
		if err := t.line(titles, widths, bold); err != nil {
			return err
		}
	}
	for _, cells := range t.rows {
		if err := t.line(cells, widths, ""); err != nil {
			return err
		}
	}
	t.rows = t.rows[:0]
	return nil
}

// fit returns widths with which the table is as wide as the terminal.
func (t *table) fit() []int {
	widths := append([]int(nil), t.widths...)
	over := gap*(len(widths)-1) - t.app.columns()
	for _, w := range widths {
		over += w
	}
	for i := len(widths) - 1; i >= 0 && over > 0; i-- {
		if t.columns[i].flexible {
			less := min(over, max(0, widths[i]-minCell))
			widths[i] -= less
			over -= less
		}
	}
	return widths
}

// columns returns the number of columns of the standard output.
func (e *Env) columns() int {
	if e.Terminal.Out && e.Terminal.Width > 0 {
		return e.Terminal.Width
	}
	return defaultWidth
}

func (t *table) line(cells []string, widths []int, colour string) error {
	var b strings.Builder
	for i, cell := range cells {
		cell = cut(cell, widths[i])
		space := spaces(widths[i] - width(cell))
		if i > 0 {
			b.WriteString(spaces(gap))
		}
		if t.columns[i].right {
			b.WriteString(space + cell)
		} else {
			b.WriteString(cell + space)
		}
	}
	text := strings.TrimRight(b.String(), " ")
	if colour != "" {
		text = t.app.paint(t.app.Terminal.Out, colour, text)
	}
	_, err := t.WriteString(text + "\n")
	return err
}

func spaces(n int) string { return strings.Repeat(" ", n) }
