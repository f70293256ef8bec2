//! Sparse matrices whose rows weigh points: joint regressors and skinning weights.

use glam::Vec3;

/// Rows of (column, value) pairs.
#[derive(Clone, Debug, PartialEq)]
pub struct SparseRows {
    cols: usize,
    starts: Vec<u32>,
    index: Vec<u32>,
    value: Vec<f32>,
}

impl SparseRows {
    /// From (row, column, value) in any order; entries out of range must have been refused before.
    pub fn from_triplets(
        rows: usize,
        cols: usize,
        entries: impl Iterator<Item = (usize, usize, f32)>,
    ) -> Self {
        let mut sorted: Vec<(usize, usize, f32)> =
            entries.filter(|(row, col, value)| *row < rows && *col < cols && *value != 0.0).collect();
        sorted.sort_by_key(|(row, col, _)| (*row, *col));
        let mut starts = vec![0u32; rows + 1];
        for (row, _, _) in &sorted {
            starts[row + 1] += 1;
        }
        for row in 0..rows {
            starts[row + 1] += starts[row];
        }
        Self {
            cols,
            starts,
            index: sorted.iter().map(|(_, col, _)| *col as u32).collect(),
            value: sorted.iter().map(|(_, _, value)| *value).collect(),
        }
    }

    /// From a row-major matrix; zeros are left out.
    pub fn from_dense(rows: usize, cols: usize, values: &[f32]) -> Self {
        let entries =
            values.iter().enumerate().map(|(at, value)| (at / cols.max(1), at % cols.max(1), *value));
        Self::from_triplets(rows, cols, entries)
    }

    pub fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Columns and values of a row.
    #[inline]
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let (start, end) = (self.starts[row] as usize, self.starts[row + 1] as usize);
        (&self.index[start..end], &self.value[start..end])
    }

    /// Pairs of a row.
    pub fn entries(&self, row: usize) -> impl Iterator<Item = (usize, f32)> + '_ {
        let (index, value) = self.row(row);
        index.iter().zip(value).map(|(index, value)| (*index as usize, *value))
    }

    /// The column of the largest value in a row, the first of equals; 0 in an empty row.
    pub fn strongest(&self, row: usize) -> usize {
        let mut best = (0, f32::NEG_INFINITY);
        for (col, value) in self.entries(row) {
            if value > best.1 {
                best = (col, value);
            }
        }
        best.0
    }

    pub fn row_sum(&self, row: usize) -> f32 {
        self.entries(row).map(|(_, value)| value).sum()
    }

    /// The weighed point of one row.
    pub fn weigh(&self, row: usize, points: &[Vec3]) -> Vec3 {
        self.entries(row).map(|(col, value)| points[col] * value).sum()
    }

    /// The weighed points of all rows; `points` has a point a column.
    pub fn apply(&self, points: &[Vec3]) -> Vec<Vec3> {
        (0..self.rows()).map(|row| self.weigh(row, points)).collect()
    }

    /// Rows of one matrix after those of another.
    pub fn stacked(&self, below: &Self) -> Self {
        let mut out = self.clone();
        let shift = self.index.len() as u32;
        out.starts.extend(below.starts.iter().skip(1).map(|start| start + shift));
        out.index.extend(&below.index);
        out.value.extend(&below.value);
        out
    }

    /// One row a picked column.
    pub fn picking(cols: usize, picked: &[usize]) -> Self {
        Self::from_triplets(picked.len(), cols, picked.iter().enumerate().map(|(row, col)| (row, *col, 1.0)))
    }

    /// Some of the rows, in the given order.
    pub fn select(&self, rows: &[usize]) -> Self {
        let entries = rows
            .iter()
            .enumerate()
            .flat_map(|(to, from)| self.entries(*from).map(move |(col, value)| (to, col, value)));
        Self::from_triplets(rows.len(), self.cols, entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_weigh_points() {
        let m = SparseRows::from_dense(2, 3, &[0.5, 0.0, 0.5, 0.0, 1.0, 0.0]);
        let points = [Vec3::X, Vec3::Y, Vec3::Z];
        assert_eq!(m.apply(&points), [Vec3::new(0.5, 0.0, 0.5), Vec3::Y]);
        assert_eq!(m.strongest(1), 1);
        let both = m.stacked(&SparseRows::picking(3, &[2]));
        assert_eq!(both.apply(&points)[2], Vec3::Z);
        assert_eq!(both.select(&[2, 0]).apply(&points)[0], Vec3::Z);
    }
}
