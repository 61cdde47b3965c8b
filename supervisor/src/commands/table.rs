//! Columns for people.

/// Each column as wide as its widest cell.
pub(super) fn text<const N: usize>(
    head: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(rows);
    let width = |column: usize| {
        let cells = lines.iter().map(|line| line[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    lines.iter().map(|line| row(line, &widths)).collect()
}

fn row<const N: usize>(cells: &[String; N], widths: &[usize; N]) -> String {
    let padded = cells.iter().zip(widths);
    let line: Vec<String> = padded
        .map(|(cell, width)| format!("{cell:width$}"))
        .collect();
    line.join("  ").trim_end().to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [["öl", "x"], ["a longer one", "y"]].map(|row| row.map(str::to_owned));
        let text = text(["A", "B"], rows.into_iter());
        assert_eq!(text, "A             B\nöl            x\na longer one  y\n");
    }
}
