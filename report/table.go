package report

import (
	"strings"
	"unicode/utf8"
)

// table is text in columns. A column of numbers is aligned to the right.
type table struct {
	head []string // may be nil
	rows []row
}

// row is one line: cells, or a text that runs over all columns.
type row struct {
	cells []string
	over  string
}

// add adds a row, and keeps the cells.
func (t *table) add(cells ...string) {
	for i, cell := range cells {
		cells[i] = harmless(cell)
	}
	t.rows = append(t.rows, row{cells: cells})
}

// across adds a line that is no row.
func (t *table) across(text string) { t.rows = append(t.rows, row{over: text}) }

// append appends the table, each line behind an indent.
func (t *table) append(dst []byte, indent string) []byte {
	rows := t.rows
	if t.head != nil {
		rows = append([]row{{cells: t.head}}, rows...)
	}
	widths, right := t.columns(rows)
	for _, r := range rows {
		if r.cells == nil {
			dst = append(dst, indent+r.over+"\n"...)
			continue
		}
		line := indent
		for i, cell := range r.cells {
			if i > 0 {
				line += "  "
			}
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if right[i] {
				line += pad + cell
			} else {
				line += cell + pad
			}
		}
		dst = append(dst, strings.TrimRight(line, " ")+"\n"...)
	}
	return dst
}

// columns measures the columns and finds those that hold numbers only.
func (t *table) columns(rows []row) (widths []int, right []bool) {
	for n, r := range rows {
		for i, cell := range r.cells {
			if i == len(widths) {
				widths = append(widths, 0)
				right = append(right, true)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
			if isHead := n == 0 && t.head != nil; !isHead && !isNumber(cell) {
				right[i] = false
			}
		}
	}
	return widths, right
}

// isNumber reports whether a cell holds nothing but a number.
func isNumber(cell string) bool {
	return strings.Trim(cell, "0123456789.-% ") == ""
}
