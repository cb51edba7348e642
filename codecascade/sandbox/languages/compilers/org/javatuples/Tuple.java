package org.javatuples;

import java.util.Arrays;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;

/**
 * A fixed number of values. What MultiPL-E's Java tests use of the javatuples library, written anew: the library
 * itself is in no Debian package.
 */
public abstract class Tuple implements Iterable<Object>, Comparable<Tuple> {
    private final List<Object> values;

    Tuple(Object... values) {
        this.values = Collections.unmodifiableList(Arrays.asList(values.clone()));
    }

    public int getSize() {
        return values.size();
    }

    public Object getValue(int position) {
        if (position < 0 || position >= values.size()) {
            throw new IllegalArgumentException(
                    "no position " + position + " in " + getClass().getSimpleName());
        }
        return values.get(position);
    }

    public boolean contains(Object value) {
        return values.contains(value);
    }

    public int indexOf(Object value) {
        return values.indexOf(value);
    }

    public List<Object> toList() {
        return values;
    }

    public Object[] toArray() {
        return values.toArray();
    }

    @Override
    public Iterator<Object> iterator() {
        return values.iterator();
    }

    @Override
    public boolean equals(Object other) {
        return other != null && getClass() == other.getClass() && values.equals(((Tuple) other).values);
    }

    @Override
    public int hashCode() {
        return values.hashCode();
    }

    @Override
    public String toString() {
        return values.toString();
    }

    /** Value by value; where one tuple begins the other, the shorter comes first. */
    @Override
    @SuppressWarnings("unchecked")
    public int compareTo(Tuple other) {
        int shared = Math.min(getSize(), other.getSize());
        for (int position = 0; position < shared; position++) {
            int order = ((Comparable<Object>) values.get(position)).compareTo(other.values.get(position));
            if (order != 0) {
                return order;
            }
        }
        return Integer.compare(getSize(), other.getSize());
    }
}
